"""Whether what serves the page is installed. Imports nothing of it."""

from importlib.util import find_spec

from tagmask.errors import TagmaskError


def require_packages() -> None:
    """Refuse to go on without starlette and uvicorn.

    Raises:
        TagmaskError: one of them is not installed.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise TagmaskError(f"{' and '.join(missing)} not installed: pip install 'tagmask[review]'")
