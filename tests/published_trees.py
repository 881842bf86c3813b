"""PASCAL VOC 2012 with SBD, and MS-COCO, as they are published, of drawn scenes: the folders, and the archives of them.

Each picture is a function of its number. Class masks are numbered as those of VOC, or by the place of the category.
"""

import json
import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

from drawn_data import FORTY, Mask, Picture, objects
from tagmask.data.datasets.voc import VOC_CLASSES
from tagmask.data.images import palette
from tagmask.exchange.polygons import outlines
from tagmask.system.rle import pixel_runs

ROWS, COLUMNS = 56, 64
CATEGORY_IDS = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
TRAIN, VAL = range(12), range(12, 24)  # numbers of VOC's own segmentation images
SBD_TRAIN, SBD_VAL = [*range(4, 8), *range(12, 18), *range(24, 48)], [*range(8, 10), *range(48, 60)]
TRAIN_AUG = [*TRAIN, *range(24, 60)]


def scene(number: int, classes: Iterable[int]) -> tuple[Picture, Mask]:
    """A photograph of 56 x 64 pixels with objects of some classes, and its mask."""
    looks = [*FORTY.values(), *FORTY.values()]
    picture, mask = objects(np.random.default_rng([7, number]), looks, classes)
    return picture[:ROWS, :COLUMNS], mask[:ROWS, :COLUMNS]


def photograph(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=95)


def lines(path: Path, names: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


# ── PASCAL VOC 2012 and SBD ──────────────────────────────────────────────────────────────────────────────────────────


def voc_id(number: int) -> str:
    return f"2008_{number:06d}"


def voc_scene(number: int) -> tuple[Picture, Mask]:
    return scene(number, (number % 20, (number + 7) % 20))


def with_border(mask: Mask) -> Mask:
    """A mask as VOC draws it: without label along the outlines of objects."""
    changes = np.zeros(mask.shape, bool)
    changes[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    changes[1:] |= mask[1:] != mask[:-1]
    return np.where(changes, np.uint8(255), mask)


def indexed(path: Path, mask: Mask) -> None:
    """A mask as VOC writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    image.putpalette(palette().tobytes())
    image.save(path)


def voc(root: Path) -> Path:
    """``VOCdevkit/VOC2012`` below a folder, of sixty photographs; returns it."""
    folder = root / "VOCdevkit" / "VOC2012"
    for number in range(60):
        picture, mask = voc_scene(number)
        photograph(folder / "JPEGImages" / f"{voc_id(number)}.jpg", picture)
        annotation(folder, number, mask)
        if number in TRAIN or number in VAL:
            indexed(folder / "SegmentationClass" / f"{voc_id(number)}.png", with_border(mask))
            indexed(folder / "SegmentationObject" / f"{voc_id(number)}.png", (mask > 0).astype(np.uint8))
    for name, numbers in {"train": TRAIN, "val": VAL, "trainval": [*TRAIN, *VAL]}.items():
        lines(folder / "ImageSets" / "Segmentation" / f"{name}.txt", map(voc_id, numbers))
    lines(folder / "ImageSets" / "Main" / "train.txt", map(voc_id, range(30)))
    lines(folder / "ImageSets" / "Main" / "aeroplane_train.txt", (f"{voc_id(n)} -1" for n in range(30)))
    return folder


def annotation(folder: Path, number: int, mask: Mask) -> None:
    found = "".join(
        f"<object><name>{VOC_CLASSES[value - 1]}</name><pose>Left</pose><truncated>0</truncated>"
        "<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
        for value in np.unique(mask[mask > 0]).tolist()
    )
    path = folder / "Annotations" / f"{voc_id(number)}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><folder>VOC2012</folder><filename>{voc_id(number)}.jpg</filename><size><width>{COLUMNS}</width>"
        f"<height>{ROWS}</height><depth>3</depth></size><segmented>1</segmented>{found}</annotation>"
    )


def sbd_mask(path: Path, mask: Mask) -> None:
    """``GTcls`` as SBD has it: boundaries of each class, the class of each pixel, the classes."""
    boundaries = np.empty((20, 1), object)
    boundaries[:, 0] = [csc_matrix(mask.shape, dtype=bool) for _ in range(20)]
    present = np.unique(mask[mask > 0])[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"Boundaries": boundaries, "Segmentation": mask, "CategoriesPresent": present}
    savemat(path, {"GTcls": content}, do_compression=True)


def sbd(root: Path) -> Path:
    """``benchmark_RELEASE/dataset`` below a folder; returns it."""
    folder = root / "benchmark_RELEASE" / "dataset"
    for number in (*SBD_TRAIN, *SBD_VAL):
        picture, mask = voc_scene(number)
        photograph(folder / "img" / f"{voc_id(number)}.jpg", picture)
        sbd_mask(folder / "cls" / f"{voc_id(number)}.mat", mask)
    lines(folder / "train.txt", map(voc_id, SBD_TRAIN))
    lines(folder / "val.txt", map(voc_id, SBD_VAL))
    lines(folder.parent / "benchmark_code_RELEASE" / "README", ["read me"])
    return folder


# ── MS-COCO ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def coco_name(split: str, number: int, year: int) -> str:
    return f"COCO_{split}2014_{number:012d}.jpg" if year == 2014 else f"{number:012d}.jpg"


def coco(root: Path, year: int = 2014) -> Path:
    """``annotations``, ``train2014`` and ``val2014``: 44 and 16 photographs, two and one of them not annotated."""
    for split, numbers in {"train": range(44), "val": range(44, 60)}.items():
        images, annotations = [], []
        for number in numbers:
            classes = () if number in (40, 41, 59) else ((2 * number) % 80, (2 * number + 1) % 80)
            picture, mask = scene(100 + number, classes)
            photograph(root / f"{split}{year}" / coco_name(split, number, year), picture)
            images.append({"id": number, "file_name": coco_name(split, number, year), "height": ROWS, "width": COLUMNS})
            annotations += [coco_object(number, value, mask == value) for value in np.unique(mask[mask > 0]).tolist()]
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories()}
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}{year}.json").write_text(json.dumps(content))
        (root / "annotations" / f"captions_{split}{year}.json").write_text(json.dumps({"images": images}))
    return root


def categories() -> list[dict[str, Any]]:
    return [{"id": key, "name": f"thing {key}", "supercategory": "thing"} for key in CATEGORY_IDS]


def is_crowd(number: int, value: int) -> bool:
    """Whether objects of a category in a photograph are a crowd."""
    return number % 8 == 1 and value % 2 == 0


def coco_object(number: int, value: int, region: np.ndarray) -> dict[str, Any]:
    crowd = is_crowd(number, value)
    parts = [polygon.ravel().tolist() for polygon in outlines(region)]
    runs = {"counts": pixel_runs(region), "size": list(region.shape)}
    return {
        "id": 100 * number + value,
        "image_id": number,
        "category_id": CATEGORY_IDS[value - 1],
        "iscrowd": int(crowd),
        "area": float(region.sum()),
        "bbox": [0.0, 0.0, 1.0, 1.0],
        "segmentation": runs if crowd else parts,
    }


# ── archives ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def packed(folder: Path, archive: Path) -> Path:
    """An archive that holds a folder by its name; the folder is gone."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as content:
            for path in sorted(folder.rglob("*")):
                content.write(path, path.relative_to(folder.parent).as_posix())
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".tgz" else "w") as content:
            content.add(folder, folder.name)
    shutil.rmtree(folder)
    return archive


def voc_archives(root: Path) -> tuple[Path, Path]:
    """VOCtrainval_11-May-2012.tar and benchmark.tgz."""
    return (
        packed(voc(root).parent, root / "VOCtrainval_11-May-2012.tar"),
        packed(sbd(root).parent, root / "benchmark.tgz"),
    )


def coco_archives(root: Path, year: int = 2014) -> Path:
    """The folder with train2014.zip, val2014.zip and annotations_trainval2014.zip."""
    coco(root, year)
    for split in (f"train{year}", f"val{year}"):
        packed(root / split, root / f"{split}.zip")
    packed(root / "annotations", root / f"annotations_trainval{year}.zip")
    return root
