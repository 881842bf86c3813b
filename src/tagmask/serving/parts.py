"""What many calls that share the photographs of a folder leave for the one that writes the table of all.

A part is a file of ``shards/`` in the folder of the masks: it appears when the masks of a hundred photographs are
there, and holds how many pixels each class has in them.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from tagmask.inference.exported import settings_file
from tagmask.inference.predictor import folder_of
from tagmask.serving.photographs import PNG
from tagmask.system.lock import CLAIMS
from tagmask.system.storage import is_whole, read_json_as, write_bytes

PARTS = "shards"


class Done(BaseModel):
    """A photograph that was done.

    Attributes:
        size: bytes of its file: another photograph of its name is not done.
        counts: pixels of background and of each class in its mask; None: it has no mask, as it could not be read.
    """

    size: int
    counts: list[int] | None


class Part(BaseModel):
    """What became of some photographs.

    Attributes:
        of: what their masks were made by.
        done: by their paths below their folder.
    """

    of: str
    done: dict[str, Done]


@dataclass(frozen=True)
class Parts:
    """The parts in a folder of masks.

    Attributes:
        out: the folder.
        of: what its masks are made by: parts of others do not count.
    """

    out: Path
    of: str

    def _path(self, files: Mapping[str, Path]) -> Path:
        names = json.dumps([self.of, *files]).encode()
        return self.out / PARTS / f"{hashlib.sha256(names).hexdigest()[:24]}.json"

    def has(self, files: Mapping[str, Path]) -> bool:
        """Whether a part speaks of exactly these photographs, and their masks are there."""
        path = self._path(files)
        return path.exists() and self._of(path, files).keys() == files.keys()

    def write(self, files: Mapping[str, Path], counts: Mapping[str, list[int]]) -> None:
        """Note that some photographs are done."""
        done = {name: Done(size=_size(file), counts=counts.get(name)) for name, file in files.items()}
        write_bytes(self._path(files), Part(of=self.of, done=done).model_dump_json().encode())

    def read(self, files: Mapping[str, Path]) -> dict[str, list[int] | None]:
        """What parts tell of photographs: pixels of background and of each class, None where there is no mask."""
        found: dict[str, list[int] | None] = {}
        for path in sorted((self.out / PARTS).glob("*.json")):
            found |= self._of(path, files)
        return found

    def _of(self, path: Path, files: Mapping[str, Path]) -> dict[str, list[int] | None]:
        part = read_json_as(path, Part.model_validate, "remove it, and its photographs are done again")
        known = part.done.items() if part.of == self.of else ()
        there = {name: done for name, done in known if name in files and done.size == _size(files[name])}
        return {name: done.counts for name, done in there.items() if done.counts is None or self._has_mask(name)}

    def _has_mask(self, name: str) -> bool:
        return is_whole(self.out / f"{name}{PNG}")

    def remove(self) -> None:
        """Remove all parts: the table speaks of all photographs now."""
        shutil.rmtree(self.out / PARTS, ignore_errors=True)


def is_shared(out: Path) -> bool:
    """Whether shards have worked in a folder of masks, or are at work there."""
    return (out / PARTS).is_dir() or (out / CLAIMS).is_dir()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def maker(model: str | Path, tiles: int | str, overlays: bool) -> str:
    """A digest of what masks are made by: the files of a network, and how images are taken and shown."""
    path = folder_of(model)
    settings = settings_file(path)
    if settings is not None:
        files = sorted(file for file in settings.parent.iterdir() if file.is_file())
    else:
        files = [path / "segmenter.safetensors" if path.is_dir() else path]
    digest = hashlib.sha256(f"{tiles} {overlays}".encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
