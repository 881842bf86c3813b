"""Arguments that may be URLs: what they name is fetched before a command begins, which then sees a folder."""

from pathlib import Path
from typing import Any

from tagmask.cli.words import say
from tagmask.errors import TagmaskError
from tagmask.system.cloud.urls import Url, is_url, was_url


def local(name: str) -> str:
    """A name that may be a URL, as that of a folder of this machine."""
    return str(opened(Url(name))) if is_url(name) else name


def opened(value: Any) -> Any:
    """The value of an argument; of a URL the folder of this machine that holds its copy.

    Raises:
        TagmaskError: nothing is there, or a URL was given where a folder is worked in.
    """
    if isinstance(value, Url):
        from tagmask.system.cloud.mirror import mirrored  # noqa: PLC0415

        return mirrored(value, say)
    if isinstance(value, Path) and was_url(value) and not value.exists():
        raise TagmaskError(
            f"{value} is a place in storage, and expected here is a folder of this machine; `tagmask sync` brings one "
            "from there and to there"
        )
    return value
