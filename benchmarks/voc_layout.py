"""A folder of tagged photographs with masks, laid out as PASCAL VOC 2012 so that the recipes for VOC can run on it.

    python benchmarks/voc_layout.py DATA VOC2012 [--classes cat,cow,dog,horse,person,sheep]

DATA holds ``tags.csv`` (image, tags, split), ``images/`` and ``masks/`` with VOC's photographs and names. Photographs
are linked, not copied; masks are written anew with VOC's numbers and palette. Of the lists, ``train_aug`` holds all
training images, ``train`` those with a mask, and ``val`` those of the other split.
"""

import argparse
import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from tagmask.data.datasets.voc import VOC_CLASSES
from tagmask.data.images import write_mask
from tagmask.system.storage import write_bytes


def numbers(classes: list[str]) -> np.ndarray:
    """VOC's number for each number of a mask: 0 background, 255 no label, class i of the data as VOC numbers it."""
    table = np.full(256, -1, np.int32)
    table[0] = 0
    for place, name in enumerate(classes):
        table[place + 1] = VOC_CLASSES.index(name) + 1
    return table


def annotation(name: str, tags: list[str], size: tuple[int, int]) -> bytes:
    """The XML of a photograph: an object for each tag, with a box of the whole."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = f"{name}.jpg"
    for tag in tags:
        thing = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(thing, "name").text = tag
        ElementTree.SubElement(thing, "difficult").text = "0"
        box = ElementTree.SubElement(thing, "bndbox")
        for key, value in (("xmin", 1), ("ymin", 1), ("xmax", size[0]), ("ymax", size[1])):
            ElementTree.SubElement(box, key).text = str(value)
    return ElementTree.tostring(root)


def lay_out(data: Path, out: Path, classes: list[str]) -> dict[str, list[str]]:
    """Write the folder; returns the names of each list."""
    table = numbers(classes)
    lists: dict[str, list[str]] = {"train_aug": [], "train": [], "val": []}
    (out / "JPEGImages").mkdir(parents=True, exist_ok=True)
    with (data / "tags.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        photograph, tags = data / "images" / row["image"], [tag for tag in row["tags"].split(";") if tag]
        name, mask = photograph.stem, data / "masks" / f"{photograph.stem}.png"
        link = out / "JPEGImages" / f"{name}.jpg"
        if not link.exists():
            link.symlink_to(photograph.resolve())
        with Image.open(photograph) as image:
            write_bytes(out / "Annotations" / f"{name}.xml", annotation(name, tags, image.size))
        if mask.exists():
            with Image.open(mask) as image:
                found = table[np.asarray(image)]
            write_mask(out / "SegmentationClass" / f"{name}.png", found, 255, len(VOC_CLASSES))
        lists["val" if row["split"] == "val" else "train_aug"].append(name)
        if row["split"] != "val" and mask.exists():
            lists["train"].append(name)
    for key, names in lists.items():
        write_bytes(out / "ImageSets" / "Segmentation" / f"{key}.txt", "".join(f"{n}\n" for n in names).encode())
    return lists


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", default="cat,cow,dog,horse,person,sheep", help="in the order of the masks")
    arguments = parser.parse_args()
    for key, names in lay_out(arguments.data, arguments.out, arguments.classes.split(",")).items():
        print(f"{key}: {len(names)}")


if __name__ == "__main__":
    main()
