"""The stage that makes pseudo masks, and what it is made of.

Maps enter, pseudo masks with confidence and quality leave. ``making`` is the stage, ``maker`` makes one mask,
``strength`` finds how strong the background is, ``quality`` ranks the masks.
"""

from tagmask.stages.masks.maker import MaskMaker
from tagmask.stages.masks.making import make_masks, mask_maker, masks_of_each
from tagmask.stages.masks.quality import read_quality, write_quality
from tagmask.stages.masks.strength import background_factor, chosen_on, read_background

__all__ = [
    "MaskMaker",
    "background_factor",
    "chosen_on",
    "make_masks",
    "mask_maker",
    "masks_of_each",
    "read_background",
    "read_quality",
    "write_quality",
]
