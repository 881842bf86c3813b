"""PASCAL VOC 2012, and anybody's classes in its layout: lists of images, and one XML annotation for each.

Their settings and their folder enter; ``Voc`` leaves.
"""

from tagmask.data.datasets.voc.dataset import VOC_CLASSES, Voc

__all__ = ["VOC_CLASSES", "Voc"]
