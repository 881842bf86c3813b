"""``data.yaml``, in which Ultralytics' tools find images and the names of classes."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from tagmask.errors import TagmaskError
from tagmask.exchange.items import Parcel
from tagmask.system.storage import write_bytes

FILE = "data.yaml"


def write_data_yaml(parcel: Parcel, names: Mapping[int, str], **more: str) -> None:
    """Write where the images lie, relative to the file, and the names; without one of the splits, the other is both."""
    splits = parcel.splits or ("train",)
    folders = {split: f"images/{split if split in splits else splits[0]}" for split in ("train", "val")}
    content = {**folders, **more, "names": dict(names)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_bytes(parcel.folder / FILE, text.encode())


def read_names(folder: Path) -> dict[int, str]:
    """The names of the classes by their numbers.

    Raises:
        TagmaskError: the file is missing or holds none.
    """
    path = folder / FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise TagmaskError(f"cannot read {path}: {error}; it lists the classes, as names: [cat, dog]") from error
    names = content.get("names") if isinstance(content, dict) else None
    named = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(named, dict) or not all(type(key) is int for key in named):
        raise TagmaskError(f"{path} lists no classes; expected names: [cat, dog], or a name for each number")
    if not all(isinstance(name, str) for name in named.values()):
        raise TagmaskError(f"{path}: names of classes must be text; put them into quotes")
    return named
