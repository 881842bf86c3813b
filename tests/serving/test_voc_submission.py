import tarfile

import numpy as np
import pytest
from PIL import Image

from tagmask.data.datasets.voc import VOC_CLASSES
from tagmask.data.images import palette
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import Predictor
from tagmask.serving import voc_submission
from tagmask.serving.voc_submission import images_to_test, predict_submission

PLACE = "results/VOC2012/Segmentation/comp6_test_cls"


class Corner(Predictor):
    """A predictor that finds a television in the first pixel."""

    def __init__(self):
        self.classes = VOC_CLASSES  # without a network

    def __call__(self, image):
        mask = np.zeros(self.reading.photograph(image).shape[:2], np.int32)
        mask[0, 0] = 20
        return mask


@pytest.fixture
def voc(tmp_path):
    """The test data: three photographs, two of which are of the segmentation test."""
    folder = tmp_path / "VOCdevkit/VOC2012"
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    for name in ("2008_000006", "2008_000011", "2008_000012"):
        Image.new("RGB", (8, 6), "red").save(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "ImageSets/Segmentation/test.txt").write_text("2008_000006\n2008_000011\n")
    return folder


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    found = Corner()
    monkeypatch.setattr(voc_submission, "load", lambda model: found)
    return found


@pytest.mark.parametrize("tar", ["results.tgz", "results.tar.gz", "results.tar"])
def test_masks_lie_where_the_server_looks_for_them(voc, tmp_path, tar):
    outcome = predict_submission(voc.parent, "model", tmp_path / "out", tmp_path / tar)
    assert (outcome.done, outcome.failed) == (2, ())
    assert outcome.notes == ("The server expects the masks of 1456 test images; these are 2.",)
    names = [f"{PLACE}/2008_000006.png", f"{PLACE}/2008_000011.png"]
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")) == names
    with Image.open(tmp_path / "out" / names[0]) as image:
        assert (image.mode, image.size) == ("P", (8, 6))
        assert np.array(image)[0].tolist() == [20, 0, 0, 0, 0, 0, 0, 0]
        colours = np.array(image.getpalette()).reshape(-1, 3)
        assert np.array_equal(colours, palette()[: len(colours)])
    with tarfile.open(tmp_path / tar) as content:
        assert content.getnames() == names
        assert content.extractfile(names[1]).read() == (tmp_path / "out" / names[1]).read_bytes()


def test_any_folder_of_photographs_will_do(voc, tmp_path):
    assert sorted(images_to_test(voc / "JPEGImages", tmp_path)) == ["2008_000006", "2008_000011", "2008_000012"]
    Image.new("RGB", (8, 6)).save(voc / "JPEGImages/2008_000006.png")
    with pytest.raises(TagmaskError, match="photographs of the same name"):
        images_to_test(voc / "JPEGImages", tmp_path)


def test_what_cannot_be_handed_in_is_refused_before_anything_is_segmented(voc, tmp_path, predictor):
    with pytest.raises(TagmaskError, match=r"results\.zip is no name of a tar"):
        predict_submission(voc, "model", tmp_path / "out", tmp_path / "results.zip")
    predictor.classes = ("cat", "dog")
    with pytest.raises(TagmaskError, match=r"other classes than VOC 2012 \(cat, dog, 2 in all\)"):
        predict_submission(voc, "model", tmp_path / "out")
    (voc / "JPEGImages/2008_000011.jpg").unlink()
    with pytest.raises(TagmaskError, match="names images that are not there: 2008_000011"):
        predict_submission(voc, "model", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_an_image_fails_nothing_is_packed(voc, tmp_path):
    (voc / "JPEGImages/2008_000006.jpg").write_bytes(b"")
    outcome = predict_submission(voc, "model", tmp_path / "out", tmp_path / "results.tgz")
    assert outcome.done == 1
    assert "2008_000006.jpg: the file is empty" in outcome.failed[0]
    assert not (tmp_path / "results.tgz").exists()


def test_masks_of_other_images_are_pointed_out(voc, tmp_path):
    (tmp_path / "out" / PLACE).mkdir(parents=True)
    (tmp_path / "out" / PLACE / "cat.png").write_bytes(b"")
    assert "also holds 1 masks of other images (cat)" in predict_submission(voc, "m", tmp_path / "out").notes[1]
