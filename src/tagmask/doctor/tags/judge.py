"""What the doctor asks of whoever judges tags."""

from abc import ABC, abstractmethod
from collections.abc import Sequence, Set

from tagmask.contracts import Dataset
from tagmask.doctor.census import Census
from tagmask.doctor.findings import Finding
from tagmask.doctor.near_duplicates import Twins
from tagmask.doctor.tags.doubtful import Doubt


class Judge(ABC):
    """Who says which tags look wrong."""

    @abstractmethod
    def check(self) -> None:
        """Find out, before any work, whether it can be done.

        Raises:
            TagmaskError: why it cannot.
        """

    @abstractmethod
    def doubts(
        self, dataset: Dataset, census: Census, readable: Set[str], twins: Sequence[Twins], workers: int | None
    ) -> tuple[tuple[Doubt, ...], tuple[Finding, ...]]:
        """Tags that look wrong, the surest first, and what that says.

        Args:
            dataset: the images.
            census: of them.
            readable: ids of those that can be read.
            twins: pairs that show the same picture.
            workers: processes that read; None: as many as help.
        """
