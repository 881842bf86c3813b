from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.datasets.photo_folder import ALL_TRAIN, paint, table
from tagmask.config import FolderData
from tagmask.contracts import Record
from tagmask.data.datasets.checks import Problems
from tagmask.data.datasets.folder import Folder
from tagmask.data.datasets.saliency_files import SaliencyFiles, read_saliency_map
from tagmask.errors import TagmaskError


def test_saliency(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", "b.jpg,cat")
    (tmp_path / "sal").mkdir()
    Image.new("L", (6, 4), 51).save(tmp_path / "sal" / "a.png")
    Image.new("RGB", (3, 2), (0, 51, 102)).save(tmp_path / "sal" / "b.PNG")
    with pytest.raises(TagmaskError, match=r"without a saliency map \(1\): b; .*data\.saliency=built-in"):
        Folder(FolderData(saliency="sal", **ALL_TRAIN), tmp_path)
    (tmp_path / "sal" / "b.PNG").rename(tmp_path / "sal" / "b.png")
    data = Folder(FolderData(saliency="sal", **ALL_TRAIN), tmp_path)
    for record, shape in zip(data.records, ((4, 6), (2, 3)), strict=True):
        saliency = data.read_saliency(record)
        assert saliency is not None
        np.testing.assert_allclose(saliency, np.full(shape, 0.2), atol=1e-6)
    assert Folder(FolderData(**ALL_TRAIN), tmp_path).read_saliency(data.records[0]) is None


def test_saliency_maps_are_no_images_and_validation_needs_none(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "image,tags,split", "a.jpg,cat,train", "b.jpg,cat,val")
    (tmp_path / "sal").mkdir()
    Image.new("L", (6, 4)).save(tmp_path / "sal" / "a.jpeg")
    data = Folder(FolderData(saliency="sal"), tmp_path)
    assert not any("image files" in note for note in data.notes)
    assert data.read_saliency(data.records[1]) is None


def test_images_left_out_need_no_saliency(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    table(tmp_path, "image,tags", "a.jpg,cat", "b.jpg,cat")
    (tmp_path / "sal").mkdir()
    Image.new("L", (6, 4)).save(tmp_path / "sal" / "a.png")
    data = Folder(FolderData(saliency="sal", on_bad_image="skip", **ALL_TRAIN), tmp_path)
    assert data.skipped == ("b",)


def test_a_saliency_folder_that_is_not_there(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    with pytest.raises(TagmaskError, match=r"sal does not exist; expected the folder of saliency maps"):
        Folder(FolderData(saliency="sal", **ALL_TRAIN), tmp_path)


# ── files, found and read directly ───────────────────────────────────────────────────────────────────────────────────

RECORD = Record("deep/a.b", (0,), "train")


def maps_below(root: Path, *names: str) -> None:
    for name in names:
        (root / "sal" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(root / "sal" / name)


def found(root: Path, flat: bool = False) -> str | None:
    path = SaliencyFiles(FolderData(saliency="sal"), root, flat).path(RECORD)
    return path and path.relative_to(root / "sal").as_posix()


def test_a_map_is_the_mean_of_its_channels(tmp_path: Path):
    Image.fromarray(np.array([[[255, 255, 255], [0, 51, 102]]], np.uint8)).save(tmp_path / "m.png")
    np.testing.assert_allclose(read_saliency_map(tmp_path / "m.png"), [[1, 0.2]], rtol=1e-6)


def test_a_damaged_map_is_named(tmp_path: Path):
    (tmp_path / "m.png").write_bytes(b"no picture")
    with pytest.raises(TagmaskError, match=r"m\.png"):
        read_saliency_map(tmp_path / "m.png")


def test_dots_in_the_name_of_an_image_stay(tmp_path: Path):
    maps_below(tmp_path, "deep/a.png")
    assert found(tmp_path) is None
    maps_below(tmp_path, "deep/a.b.jpeg")
    assert found(tmp_path) == "deep/a.b.jpeg"


def test_lossless_maps_come_first(tmp_path: Path):
    maps_below(tmp_path, "deep/a.b.jpg", "deep/a.b.png")
    assert found(tmp_path) == "deep/a.b.png"


def test_a_flat_folder_is_looked_at_last_and_only_if_asked(tmp_path: Path):
    maps_below(tmp_path, "a.b.png")
    assert found(tmp_path) is None
    assert found(tmp_path, flat=True) == "a.b.png"
    maps_below(tmp_path, "deep/a.b.jpg")
    assert found(tmp_path, flat=True) == "deep/a.b.jpg"


@pytest.mark.parametrize("saliency", [None, "built-in"])
def test_without_a_folder_nothing_is_found_and_nothing_missing(tmp_path: Path, saliency: str | None):
    files, problems = SaliencyFiles(FolderData(saliency=saliency), tmp_path), Problems()
    files.note_missing([RECORD], problems)
    problems.raise_any(tmp_path)
    assert files.folder is None
    assert files.read(RECORD) is None
