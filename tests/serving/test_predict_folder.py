import numpy as np
import pytest
from PIL import Image

from tagmask.data.images import read_mask
from tagmask.errors import TagmaskError
from tagmask.serving import predict_folder
from tagmask.serving.predict_folder import image_files, predict_images


class Halves:
    """A predictor that finds class 2 in the right half."""

    classes = ("a", "b")

    def __call__(self, image):
        mask = np.zeros(image.shape[:2], np.int32)
        mask[:, image.shape[1] // 2 :] = 2
        return mask


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a.png", "a.JPG", "deep/er/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), "red").save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    monkeypatch.setattr(predict_folder, "load", lambda model: Halves())


def written(out) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_images_anywhere_below_are_found(photos):
    assert [file.relative_to(photos).as_posix() for file in image_files(photos)] == ["a.JPG", "a.png", "deep/er/b.png"]
    assert image_files(photos / "a.png") == [photos / "a.png"]


def test_a_folder_can_be_left_out(photos):
    assert [file.name for file in image_files(photos, without=photos / "deep")] == ["a.JPG", "a.png"]
    for outside in (photos, photos.parent, photos.parent / "out"):
        assert len(image_files(photos, without=outside)) == 3


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_nothing_to_segment_is_an_error(tmp_path, place):
    with pytest.raises(TagmaskError, match=r"no such image or folder|no images below .*\.png"):
        predict_images(tmp_path / place, tmp_path, tmp_path / "out", overlays=False)


def test_every_image_gets_a_mask_and_an_overlay(photos, tmp_path):
    out = tmp_path / "out"
    assert predict_images(photos, tmp_path, out, overlays=True) == (3, [])
    expected = [
        f"{name}{ending}" for name in ("a.JPG", "a.png", "deep/er/b.png") for ending in (".png", "_overlay.jpg")
    ]
    assert written(out) == sorted(expected)
    mask = read_mask(out / "deep/er/b.png.png", 255)
    assert mask.tolist() == [[0] * 4 + [2] * 4] * 6
    with Image.open(out / "a.png_overlay.jpg") as overlay:
        assert overlay.size == (8, 6)


def test_overlays_are_left_out_if_not_asked_for(photos, tmp_path):
    predict_images(photos / "a.png", tmp_path, tmp_path / "out", overlays=False)
    assert written(tmp_path / "out") == ["a.png.png"]


def test_a_bad_image_is_named_and_does_not_stop_the_others(photos, tmp_path):
    (photos / "aa.png").write_bytes(b"broken")
    (photos / "b.jpg").write_bytes((photos / "a.JPG").read_bytes()[:200])
    done, failed = predict_images(photos, tmp_path, tmp_path / "out", overlays=False)
    assert done == 3
    assert len(failed) == 2
    assert "aa.png" in failed[0]
    assert "b.jpg" in failed[1]
    assert len(written(tmp_path / "out")) == 3


def test_masks_of_an_earlier_call_are_no_photographs(photos, tmp_path):
    for _ in range(2):
        done, _ = predict_images(photos, tmp_path, photos / "masks", overlays=True)
    assert done == 3
