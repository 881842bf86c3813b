"""Addresses of places that are not of this machine, told from paths. No heavy package."""

import re
from pathlib import Path

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: one is a drive of Windows
_AS_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_SECRET = re.compile(r"(?<=://)[^/@]+@")


class Url(str):
    """The address of a place that is not of this machine, such as ``s3://bucket/photos``."""

    __slots__ = ()


def shown(url: str) -> str:
    """An address without the name and the password that some hold.

    >>> shown("sftp://me:secret@host/photos")
    'sftp://host/photos'
    """
    return _SECRET.sub("", url)


def is_url(text: str | Path) -> bool:
    r"""Whether a text is an address and no path.

    >>> [is_url(text) for text in ("s3://bucket/photos", "memory://a", "photos", r"C:\photos", "C://photos")]
    [True, True, False, False, False]
    """
    return isinstance(text, str) and _URL.match(text) is not None


def was_url(path: Path) -> bool:
    """Whether a path was made of an address, of which it has lost a slash.

    >>> was_url(Path("s3://bucket/photos")), was_url(Path("photos"))
    (True, False)
    """
    return _AS_PATH.match(path.as_posix()) is not None
