"""Data in COCO's format: annotation files and the folders of photographs they speak of.

Their settings and their folder enter; ``Coco`` leaves.
"""

from tagmask.data.datasets.coco.dataset import Coco

__all__ = ["Coco"]
