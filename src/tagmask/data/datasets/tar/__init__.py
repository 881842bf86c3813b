"""Tar files of photographs with their tags beside them, as WebDataset has them: a few large files in place of millions.

Their settings and their folder enter; ``Tar`` leaves.
"""

from tagmask.data.datasets.tar.dataset import Tar
from tagmask.data.datasets.tar.samples import holds_samples

__all__ = ["Tar", "holds_samples"]
