import json

import numpy as np
import pytest
import torch
from PIL import Image

from shared_runs import tiny_recipe
from tagmask.data.images import read_mask
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import Predictor
from tagmask.serving import mask_files, predict_folder
from tagmask.serving.predict_folder import predict_images

LISTS = ["classes.csv", "classes.json"]


class Halves(Predictor):
    """A predictor that finds class 2 in the right half, and fails on pictures whose first pixel is blue."""

    error: BaseException = MemoryError()

    def __init__(self):
        self.classes, self.bands, self.as_stored = ("a", "b"), None, False  # without a network
        self.config = tiny_recipe().segmenter

    def __call__(self, image):
        if image[0, 0, 2] > 200 > image[0, 0, 0]:
            raise self.error
        mask = np.zeros(image.shape[:2], np.int32)
        mask[:, image.shape[1] // 2 :] = 2
        return mask


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a.png", "a.JPG", "deep/er/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def picture(path, color="red", size=(8, 6)):
    image = Image.new("RGB", size, color)
    image.putpixel((1, 1), (0, 0, 0))
    image.save(path)


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    halves = Halves()
    monkeypatch.setattr(predict_folder, "load", lambda model, tiles: halves)
    return halves


def written(out) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_nothing_to_segment_is_an_error(tmp_path, place):
    with pytest.raises(TagmaskError, match=r"no such image or folder|no images below .*\.png"):
        predict_images(tmp_path / place, tmp_path, tmp_path / "out", overlays=False)


def test_every_image_gets_a_mask_and_an_overlay(photos, tmp_path):
    out = tmp_path / "out"
    outcome = predict_images(photos, tmp_path, out, overlays=True)
    assert (outcome.done, outcome.failed, outcome.notes) == (3, (), ())
    expected = [
        f"{name}{ending}" for name in ("a.JPG", "a.png", "deep/er/b.png") for ending in (".png", "_overlay.jpg")
    ]
    assert written(out) == sorted([*expected, *LISTS])
    mask = read_mask(out / "deep/er/b.png.png", 255)
    assert mask.tolist() == [[0] * 4 + [2] * 4] * 6
    with Image.open(out / "a.png_overlay.jpg") as overlay:
        assert overlay.size == (8, 6)


def test_overlays_are_left_out_if_not_asked_for(photos, tmp_path):
    predict_images(photos / "a.png", tmp_path, tmp_path / "out", overlays=False)
    assert written(tmp_path / "out") == ["a.png.png", *LISTS]


def test_classes_and_their_shares_are_listed(photos, tmp_path):
    predict_images(photos, tmp_path, tmp_path / "out", overlays=False)
    names = [entry["name"] for entry in json.loads((tmp_path / "out/classes.json").read_text())]
    assert names == ["background", "a", "b"]
    lines = (tmp_path / "out/classes.csv").read_text().splitlines()
    assert lines[1:3] == ["a.JPG,background,24,0.500000", "a.JPG,b,24,0.500000"]
    assert len(lines) == 7


def test_a_bad_image_is_named_and_does_not_stop_the_others(photos, tmp_path):
    (photos / "aa.png").write_bytes(b"broken")
    (photos / "b.jpg").write_bytes((photos / "a.JPG").read_bytes()[:200])
    (photos / "c.jpg").symlink_to("/nowhere.jpg")
    outcome = predict_images(photos, tmp_path, tmp_path / "out", overlays=False)
    assert outcome.done == 3
    assert [any(name in line for line in outcome.failed) for name in ("aa.png", "b.jpg", "c.jpg")] == [True] * 3
    assert len(outcome.failed) == 3
    assert len(written(tmp_path / "out")) == 5


@pytest.mark.parametrize("names", [("masks", "masks"), ("masks", "other"), (".", "."), (".", "third")])
def test_masks_of_an_earlier_call_are_no_photographs(photos, tmp_path, names):
    for name in names:
        outcome = predict_images(photos, tmp_path, photos / name, overlays=True)
        assert outcome.done == 3
    assert any("masks and overlays of an earlier call" in note for note in outcome.notes) == (names != ("masks",) * 2)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("could not create a memory object"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    ],
    ids=["python", "processor", "onednn", "cuda"],
)
def test_an_image_that_memory_does_not_suffice_for_is_named_and_the_others_are_done(photos, tmp_path, predictor, error):
    picture(photos / "aa.png", "blue")
    predictor.error = error
    outcome = predict_images(photos, tmp_path, tmp_path / "out", overlays=False)
    assert outcome.done == 3
    assert len(outcome.failed) == 1
    assert "not enough memory to segment" in outcome.failed[0]
    assert "aa.png" in outcome.failed[0]


def test_other_errors_are_not_hidden(photos, tmp_path, predictor):
    picture(photos / "aa.png", "blue")
    predictor.error = RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        predict_images(photos, tmp_path, tmp_path / "out", overlays=False)
    assert (tmp_path / "out/classes.csv").read_text().count("a.JPG") == 2  # what was done is listed


def test_a_name_too_long_for_a_mask_is_named_and_the_others_are_done(photos, tmp_path):
    picture(photos / f"{'x' * 249}.png")
    outcome = predict_images(photos, tmp_path, tmp_path / "out", overlays=False)
    assert outcome.done == 3
    assert "shorter image names" in outcome.failed[0]


def test_a_full_disk_stops_everything(photos, tmp_path, monkeypatch):
    def full(*_):
        raise TagmaskError("disk full")

    monkeypatch.setattr(predict_folder, "write_mask", full)
    with pytest.raises(TagmaskError, match="disk full"):
        predict_images(photos, tmp_path, tmp_path / "out", overlays=False)


def test_images_of_one_colour_are_pointed_out(photos, tmp_path):
    Image.new("RGBA", (5, 4), (9, 9, 9, 0)).save(photos / "clear.png")
    outcome = predict_images(photos, tmp_path, tmp_path / "out", overlays=False)
    assert outcome.done == 4
    assert any("1 images have one colour throughout: clear.png" in note for note in outcome.notes)


def test_large_photographs_are_said_to_be_scaled_down_and_so_are_their_overlays(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_folder, "LARGEST", 100)
    monkeypatch.setattr(mask_files, "largest_factor", lambda size: min(1.0, 10 / max(size)))
    picture(photos / "large.png", size=(40, 20))
    outcome = predict_images(photos, tmp_path, tmp_path / "out", overlays=True)
    assert any("masks enlarged: large.png" in note and "--tiles 256" in note for note in outcome.notes)
    assert read_mask(tmp_path / "out/large.png.png", 255).shape == (20, 40)
    with Image.open(tmp_path / "out/large.png_overlay.jpg") as overlay:
        assert overlay.size == (10, 5)


def test_overlays_fit_into_a_jpeg(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(mask_files, "LONGEST_JPEG", 20)
    picture(photos / "wide.png", size=(80, 4))
    predict_images(photos / "wide.png", tmp_path, tmp_path / "out", overlays=True)
    with Image.open(tmp_path / "out/wide.png_overlay.jpg") as overlay:
        assert overlay.size == (20, 1)


def test_what_else_lies_in_the_folder_is_said(photos, tmp_path):
    (photos / "phone.heic").write_bytes(b"x")
    picture(tmp_path / "else.jpg")
    (photos / "link.jpg").symlink_to(tmp_path / "else.jpg")
    (photos / "folder").symlink_to(tmp_path)
    outcome = predict_images(photos, tmp_path, tmp_path / "out", overlays=False)
    assert outcome.done == 4
    for words in ("not read: phone.heic", "out of the folder: link.jpg", "not entered: folder"):
        assert any(words in note for note in outcome.notes), outcome.notes


def test_a_mask_never_takes_the_place_of_a_photograph(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.png.png", "blue")
    before = (tmp_path / "a.png.png").read_bytes()
    with pytest.raises(TagmaskError, match=r"would overwrite 1 photograph\(s\), such as .*a\.png\.png"):
        predict_images(tmp_path, tmp_path, tmp_path, overlays=False)
    assert (tmp_path / "a.png.png").read_bytes() == before
