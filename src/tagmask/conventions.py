"""What means the same everywhere: numbers on masks, where a run ends and lies, forms of an export, published data."""

import os
from pathlib import Path
from typing import Literal

BACKGROUND = 0
"""Class and channel of what is none of the classes; class i of the list is mask value i + 1."""

IGNORE = -1
"""Pixels without a label in memory, whatever number the files use."""

Goal = Literal["seed", "mask", "prediction"]
"""How far a run goes: maps of the images that score seeds, pseudo masks, or the segmenter's predictions."""

Equal = Literal["steps", "seconds"]
"""What the trainings of all recipes of a comparison may have as much of."""

FEWEST_IMAGES = 2
"""Training images without which no run begins."""

EPSILON = 1e-5
"""Keeps denominators from 0 in the published formulas of SEAM, SIPE and PPC, whose results contain it."""

Form = Literal["bundle", "onnx", "openvino", "torch-export"]
"""What a trained network can be exported as."""

Int8 = Literal["dynamic", "static"]
"""How the numbers of an exported network find their place in 8 bits: anew in every pass, or once and for all."""

Counts = Literal["published", "any"]
"""Whether a published data set must have as many images as were published, or may be a part of them."""

CocoYear = Literal[2014, 2017]
"""Which MS-COCO: the same photographs, split otherwise, under other names."""

VOC_IMAGES = {"train": 1464, "val": 1449, "train_aug": 10582}
"""How many images each list of PASCAL VOC 2012 has, ``train_aug`` with those of SBD."""

COCO_IMAGES: dict[CocoYear, dict[str, tuple[int, int]]] = {
    2014: {"train": (82_783, 82_081), "val": (40_504, 40_137)},
    2017: {"train": (118_287, 117_266), "val": (5_000, 4_952)},
}
"""How many images each split of MS-COCO has, and how many of them have a tag."""

MaskFiles = Literal["masks", "voc-submission"]
"""How masks of new photographs are laid out: beside their names, or as VOC's evaluation server takes them."""


def default_run_folder(named: Path) -> Path:
    """The folder of a run for which none was named: in `runs`, by the name of its recipe or its data.

    `runs` is where the call stands, or beside the data if it stands within them, as the pictures of a run are no data.
    """
    whole = named.resolve()
    within = whole.is_dir() and Path.cwd().is_relative_to(whole)
    runs = Path(os.path.relpath(whole.parent / "runs")) if within else Path("runs")
    return runs / (whole.stem if whole.suffix == ".yaml" else whole.name)
