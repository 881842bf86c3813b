"""Bundles on the Hugging Face Hub: fetched into its cache, and named by the commit that they are of."""

import re
from pathlib import Path

from tagmask.data.class_list import CLASSES
from tagmask.errors import TagmaskError, first_line
from tagmask.inference.exported import SETTINGS, read_settings

SCHEME = "hf://"
FETCHED = ("segmenter.safetensors", SETTINGS, CLASSES, "README.md")
"""All that is fetched of a repository: weights without code, words and numbers. Nothing in it can be executed."""

_ADDRESS = re.compile(r"hf://(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def is_address(model: str | Path) -> bool:
    """Whether a model is named by an address of the Hub."""
    return isinstance(model, str) and model.startswith(SCHEME)


def parts_of(address: str) -> tuple[str, str | None]:
    """The repository of an address, and the branch, tag or commit behind it.

    Raises:
        TagmaskError: it is none.

    >>> parts_of("hf://me/animals"), parts_of("hf://me/animals@v1")
    (('me/animals', None), ('me/animals', 'v1'))
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise TagmaskError(f"{address} is no address of the Hub; expected hf://USER/NAME or hf://USER/NAME@REVISION")
    return found["name"], found["revision"]


def failures() -> tuple[type[Exception], ...]:
    """What may be raised while one speaks with the Hub.

    A Hub that cannot be reached is told by the error of an HTTP client, which is another one from version to version
    of huggingface_hub; its own error of a refusal descends from the client's.
    """
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 (slow to import, and rarely needed)

    of_client = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    return of_client, OSError


def fetched(address: str) -> Path:
    """The folder in the Hub's cache that holds the bundle of an address; downloaded if it is not there.

    Without a revision the newest commit is taken; the folder has its name, so that the same can be named again.

    Raises:
        TagmaskError: there is no such repository or revision, none may be read, or it holds no bundle.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (slow to import, and rarely needed)

    name, revision = parts_of(address)
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(FETCHED)))
    except failures() as error:
        raise TagmaskError(f"{address} cannot be fetched: {first_line(error)}") from error
    if not (folder / SETTINGS).is_file() or read_settings(folder / SETTINGS).form != "bundle":
        raise TagmaskError(f"{address} holds no bundle of tagmask; `tagmask push` makes one")
    return folder
