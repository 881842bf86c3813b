from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.datasets.photo_folder import ALL_TRAIN, paint, table
from tagmask.config import FolderData
from tagmask.data.datasets.folder import Folder
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
    assert data.notes == ()
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
