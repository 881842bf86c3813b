"""Compilation of numerical loops, and threads that carry them out."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


def in_threads(work: Callable[[int], object], count: int, threads: int) -> None:
    """Call ``work`` with 0, 1, ..., ``count`` - 1, by at most so many threads at a time.

    Raises:
        Exception: what ``work`` raises.
    """
    threads = min(threads, count)
    if threads < 2:
        for number in range(count):
            work(number)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(count)))
