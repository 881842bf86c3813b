"""Compilation of numerical loops."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` by numba, without the interpreter's lock; threads may call it at the same time.

    The machine code is kept on disk beside the package or, if that folder is read-only, in the user's cache folder
    (``NUMBA_CACHE_DIR`` overrides both). Without any writable folder every process compiles anew.

    Put ``@no_type_check`` below it: numba checks the types, and the shape checker of the tests must not wrap what is to
    be compiled.
    """
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder to write to
        return njit(nogil=True)(function)
