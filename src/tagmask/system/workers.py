"""Work on a list of items in loader processes; results come in the items' order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from tagmask.errors import TagmaskError

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Each(Dataset[Any]):
    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.function, self.items = function, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        # The loader would wrap what is raised here in a traceback, which is not for people to read.
        try:
            return self.function(self.items[index])
        except TagmaskError as error:
            return error


def in_order(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, pin_memory: bool = False
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item; processes work ahead of the caller.

    Args:
        function: picklable, as are its results.
        items: its arguments.
        workers: processes; 0 works in this one.
        pin_memory: whether results are copied to where an accelerator reads them fastest.

    Raises:
        TagmaskError: as ``function`` raised it, when its item's turn has come.
    """
    loader = DataLoader(
        _Each(function, items),
        batch_size=None,
        num_workers=min(workers, len(items)),
        collate_fn=_untouched,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # its own: the loader must not draw from the random numbers of its user
    )
    for result in loader:
        if isinstance(result, TagmaskError):
            raise result
        yield result


def _untouched(result: Any) -> Any:
    """Keeps the loader from turning arrays into tensors."""
    return result
