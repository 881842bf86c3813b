"""What can be asked of an exchange. Nothing heavy is imported here: the command line reads these names."""

from typing import Literal

FormatName = Literal["coco", "yolo", "ultralytics-semantic", "cvat", "label-studio", "voc", "fiftyone"]
"""The formats, by the names that the command line takes."""

Which = Literal["masks", "revised", "predictions", "reviews"]
"""Pseudo masks as they were made, or as the network revised them; masks of validation images; reviewed masks."""

Photographs = Literal["copy", "link", "none"]
"""What becomes of the photographs: copied beside the masks, linked to, or left where they are."""

Segmentation = Literal["rle", "polygons"]
"""How COCO holds a region: as run lengths, or as polygons whose holes are joined to the outside by a cut."""
