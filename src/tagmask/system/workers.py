"""Work on a list of items in loader processes, or in threads, in the items' order.

Results of processes travel through pipes, not through shared memory: containers have 64 MB of it, and a process that
finds none left does not say so, it waits.
"""

import io
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tagmask.errors import TagmaskError
from tagmask.system.interruption import leave_it_to_the_parent, loader_killed, put_off, stop_if_asked

Item = TypeVar("Item")
Result = TypeVar("Result")

_AT_ONCE = 4096


class _Each(Dataset[Any]):
    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any], packed: bool) -> None:
        self.function, self.items, self.packed = function, items, packed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        # The loader would wrap what is raised here in a traceback, which is not for people to read.
        try:
            result = self.function(self.items[index])
        except TagmaskError as error:
            result = error
        return _packed(result) if self.packed else result


def available_cores() -> int:
    """Processor cores that this process may use, within the limits of a container or a scheduler."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, pin_memory: bool = False
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item; processes work ahead of the caller, and end when it stops asking.

    Args:
        function: picklable, as are its results.
        items: its arguments.
        workers: processes, no more than there are cores for; 0 works in this one.
        pin_memory: whether results, which must have a method of that name, are copied to where an accelerator reads
            them fastest.

    Raises:
        TagmaskError: as ``function`` raised it, when its item's turn has come; or a process was killed.
    """
    count = min(workers, len(items), available_cores())
    loader = DataLoader(
        _Each(function, items, count > 0),
        batch_size=None,
        num_workers=count,
        collate_fn=_untouched,
        worker_init_fn=_begin,
        generator=torch.Generator(),  # its own: the loader must not draw from the random numbers of its user
    )
    with put_off():  # Python drops what is raised while it starts a process
        results = iter(loader)
    try:
        while True:
            stop_if_asked()
            result = _next(results)
            if result is _END:
                return
            result = pickle.loads(result) if count else result
            if isinstance(result, TagmaskError):
                raise result
            yield result.pin_memory() if pin_memory else result
    finally:
        with put_off():
            if count:
                results._shutdown_workers()  # pyright: ignore[reportAttributeAccessIssue] - else they end when it is collected


_END = object()


def _next(results: Iterator[Any]) -> Any:
    """The next result, or ``_END``.

    Raises:
        TagmaskError: a loader process was killed.
    """
    try:
        return next(results, _END)
    except RuntimeError as error:
        if (killed := loader_killed(error)) is None:
            raise
        raise killed from error


def _begin(number: int) -> None:  # noqa: ARG001
    """What a loader process does first."""
    leave_it_to_the_parent()


def _untouched(result: Any) -> Any:
    """Keeps the loader from turning arrays into tensors."""
    return result


# ── through the pipe ─────────────────────────────────────────────────────────────────────────────────────────────────


class _Packer(pickle.Pickler):
    """Writes tensors as arrays; torch's own way goes through shared memory, or through a slow file format."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        innermost = value.dim() == 4 and not value.is_contiguous()
        return _tensor, (value.permute(0, 2, 3, 1).numpy() if innermost else value.numpy(), innermost)


def _tensor(values: np.ndarray, channels_innermost: bool) -> Tensor:
    found = torch.from_numpy(values)
    return found.permute(0, 3, 1, 2) if channels_innermost else found


def _packed(result: Any) -> bytes:
    buffer = io.BytesIO()
    _Packer(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(result)
    return buffer.getvalue()


# ── in threads ───────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def behind(limit: int = 2, threads: int = 1) -> Iterator[Callable[..., None]]:
    """Let threads carry out pieces of work, such as writing files, while the caller goes on; one keeps them in order.

    Yields ``put(function, *arguments)``. No more than ``limit`` pieces are kept, those at work among them; then the
    caller waits. When the block ends all of them are done. If it ends by an error or is stopped, those at work are
    done and the others are dropped.

    Raises:
        Exception: whatever a piece raised, at one of the next pieces or when the block ends.
    """
    pieces: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="behind")

    def put(function: Callable[..., Any], *arguments: Any) -> None:
        while pieces and (pieces[0].done() or len(pieces) >= limit):
            pieces.popleft().result()
        pieces.append(pool.submit(function, *arguments))

    try:
        yield put
        for piece in pieces:
            piece.result()
    finally:
        pool.shutdown(cancel_futures=True)


def several_at_once(look: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What ``look`` says about each item, in order; for what waits for files, in threads."""
    left, found = iter(items), []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        while part := [*islice(left, _AT_ONCE)]:  # a million tasks that wait would be a gigabyte
            found += pool.map(look, part)
    return found
