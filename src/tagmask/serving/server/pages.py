"""The server's own pages: how to use it, and its interface; they load nothing from elsewhere."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tagmask.serving.server.limits import Limits

_TEMPLATES = Environment(
    loader=PackageLoader("tagmask.serving.server"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def front_page(name: str, classes: list[dict[str, Any]], limits: Limits) -> str:
    """How to send a photograph, a form to try it, and the classes."""
    return _TEMPLATES.get_template("front.html").render(name=name, classes=classes, limits=limits)


def interface_page(description: dict[str, Any]) -> str:
    """The interface as a page, from its OpenAPI document."""
    return _TEMPLATES.get_template("interface.html").render(description=description)


def script() -> str:
    """What makes the form of the front page work."""
    return _source("front.js")


def style() -> str:
    """The looks of both pages."""
    return _source("pages.css")


def _source(name: str) -> str:
    return _TEMPLATES.get_template(name).render()
