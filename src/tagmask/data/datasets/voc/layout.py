"""Where images and lists of a VOC layout lie, whoever has made it."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tagmask.config import VocData
from tagmask.data.datasets.checks import NAMES_SHOWN, existing_folder, read_lines
from tagmask.data.datasets.folder import IMAGE_SUFFIXES, image_id
from tagmask.errors import TagmaskError

LISTS = ("ImageSets/Segmentation", "ImageSets/Main", "ImageSets")


def voc_folder(root: Path) -> Path:
    """The folder with JPEGImages: the data folder, VOC2012 in it, or the only one below it.

    Raises:
        TagmaskError: there is none, or there are several.
    """
    existing_folder(root, "the folder VOC2012 or VOCdevkit")
    usual = [root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"]
    others = sorted(
        path.parent for pattern in ("*/JPEGImages", "VOCdevkit/*/JPEGImages") for path in root.glob(pattern)
    )
    folder = next((path for path in usual if (path / "JPEGImages").is_dir()), None)
    if folder is None and len(others) == 1:
        folder = others[0]
    if folder is None:
        found = f"there are {', '.join(path.name for path in others)}" if others else "JPEGImages, ImageSets, ..."
        raise TagmaskError(f"{root} holds no VOC2012 ({found}); give the folder that holds JPEGImages")
    return folder


class VocImages:
    """The image files of JPEGImages by their ids, the paths below it without extension.

    Args:
        folder: the folder VOC2012.

    Attributes:
        files: the files by id.
        doubled: ids of several files, which differ in their extension only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "JPEGImages"
        self.files: dict[str, Path] = {}
        self.doubled: set[str] = set()
        for path in sorted(self.folder.rglob("*")):
            below = path.relative_to(self.folder)
            if path.suffix.lower() not in IMAGE_SUFFIXES or any(part.startswith(".") for part in below.parts):
                continue
            if not path.is_file():
                continue
            key = image_id(below.as_posix())
            if key in self.files:
                self.doubled.add(key)
            self.files.setdefault(key, path)

    def path(self, key: str) -> Path:
        """The file of an id, or where it should be."""
        return self.files.get(key, self.folder / f"{key}.jpg")

    def key(self, line: str) -> str:
        """The id that a line of a list means.

        A line is an id; or an image path and a mask path, or an id and a number, separated by a blank. Of a path that
        is not below JPEGImages the last part counts.
        """
        for text in (line, line.split(maxsplit=1)[0]):
            name = text.replace("\\", "/").removeprefix("./")
            name = name.rsplit("JPEGImages/", 1)[-1]
            for key in (name, image_id(name), PurePosixPath(image_id(name)).name):
                if key in self.files:
                    return key
        return PurePosixPath(image_id(line.split(maxsplit=1)[0].replace("\\", "/"))).name


def list_path(folder: Path, split: str, named: str | None) -> Path | None:
    """The list of a split, if there is one.

    Raises:
        TagmaskError: one was named and is missing.
    """
    if named is not None and not (folder / named).is_file():
        raise TagmaskError(f"the list {folder / named} is missing; put it there, or correct data.train_list")
    names = (f"{split}.txt", f"{split.replace('_', '')}.txt")
    choices = [folder / named] if named else [folder / lists / name for lists in LISTS for name in names]
    return next((path for path in choices if path.is_file()), None)


def splits_of(folder: Path, config: VocData, images: VocImages, notes: list[str]) -> tuple[dict[str, str], bool]:
    """The split of each image by its id, and whether the validation images are still to be held out.

    Raises:
        TagmaskError: there are lists, but not that of the training split.
    """
    listed = list_path(folder, config.train_split, config.train_list)
    if listed is None:
        others = [path.relative_to(folder).as_posix() for path in _lists(folder)]
        if others:
            raise TagmaskError(
                f"the list {folder / LISTS[0] / config.train_split}.txt is missing; put it there, set data.train_list, "
                f"or choose another split (data.train_split=train needs no SBD; there are {_shown(others)})"
            )
        keys = tuple(images.files)
        notes.append(f"There are no lists in {folder / 'ImageSets'}: all {len(keys)} images of JPEGImages are used.")
    else:
        keys = tuple(images.key(line) for line in read_lines(listed))
    splits = dict.fromkeys(keys, config.train_split)
    if config.val_split is None:
        return splits, False
    held_out = list_path(folder, config.val_split, None)
    if held_out is None:
        notes.append(
            f"There is no list of the split {config.val_split!r}: about {config.val_fraction:.0%} of the images "
            "(data.val_fraction) are held out for validation."
        )
        return splits, True
    extra = [images.key(line) for line in read_lines(held_out)]
    return splits | {key: config.val_split for key in extra if key not in splits}, False


def _lists(folder: Path) -> Iterator[Path]:
    for lists in LISTS:
        # Those of single classes, crack_train.txt, are no splits.
        yield from sorted(path for path in (folder / lists).glob("*.txt") if "_" not in path.stem.replace("_aug", ""))


def _shown(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
