"""Packages that not everybody needs, and the names under which they are installed with tagmask."""

from importlib.util import find_spec

from tagmask.errors import TagmaskError


def require(extra: str, *packages: str) -> None:
    """Find out, before any work and without importing them, whether optional packages are here.

    Args:
        extra: of tagmask, which brings them.
        packages: by the names that they are imported by.

    Raises:
        TagmaskError: one of them is not installed.
    """
    missing = [package for package in packages if not _is_here(package)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise TagmaskError(f"{' and '.join(missing)} {verb} not installed: pip install 'tagmask[{extra}]'")


def _is_here(package: str) -> bool:
    """Whether a package can be imported; a mere folder of its name beside the program is none."""
    found = find_spec(package)
    return found is not None and found.origin is not None
