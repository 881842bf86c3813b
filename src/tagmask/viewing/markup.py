"""Small pieces of HTML for notebooks, without script or address; every text in them is escaped."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("tagmask.viewing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def rendered(template: str, **content: Any) -> str:
    """A template of this room with its content."""
    return _environment().get_template(template).render(content)
