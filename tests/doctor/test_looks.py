import numpy as np
import pytest
from PIL import Image

from doctor.invented import Invented, dataset, picture
from tagmask.contracts import Record
from tagmask.doctor.looks import SIDE, grey_copy, look_at, look_at_images, num_workers, unread


class Files(Invented):
    """The same as files of a folder."""

    def __init__(self, root, names):
        super().__init__(["cat"], [Record(name, (0,), "train") for name in names])
        self.root = root

    def image_path(self, record):
        return self.root / record.id


def test_drawn_images_are_looked_at_in_memory():
    data = dataset(["cat"], [(0,), ()])
    looks = look_at_images(data, data.records, workers=0)
    assert [look.id for look in looks] == ["train/000", "train/001"]
    assert all(look.size == (60, 80) and look.copy.shape == (SIDE, SIDE) for look in looks)
    assert looks[0].content != looks[1].content
    assert list(unread(looks)) == []


def test_files_are_read_small_and_bad_ones_are_no_error(tmp_path):
    Image.fromarray(picture(0, (600, 800))).save(tmp_path / "a.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(picture(0, (600, 800))).save(tmp_path / "b.jpg", exif=turned)
    (tmp_path / "c.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    (tmp_path / "d.jpg").write_bytes(b"no image")
    data = Files(tmp_path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "gone.jpg"])
    a, b, c, d, gone = look_at_images(data, data.records, workers=0)
    assert (a.size, b.size) == ((600, 800), (800, 600))
    assert a.content == c.content != b.content
    assert np.abs(np.rot90(a.copy.astype(int), -1) - b.copy).mean() < 8
    assert [each.id for each in unread([a, b, c, d, gone])] == ["d.jpg", "gone.jpg"]
    assert "not an image" in d.problem


@pytest.mark.filterwarnings("ignore:This DataLoader")
def test_workers_see_the_same(tmp_path):
    data = dataset(["cat"], [(0,)] * 70)
    alone, shared = (look_at_images(data, data.records, workers) for workers in (0, 1))
    assert [look.id for look in shared] == [record.id for record in data.records]
    assert all(a.content == b.content and (a.copy == b.copy).all() for a, b in zip(alone, shared, strict=True))


def test_a_grey_copy_is_the_mean_of_what_lies_under_each_pixel():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:2, :2] = [[[0], [100]], [[100], [200]]]
    assert grey_copy(pixels)[0, 0] == 100
    assert grey_copy(pixels)[1:].max() == 0


def test_one_core_needs_no_workers(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    assert num_workers() == 0
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert num_workers() == 3


def test_one_image_is_looked_at_alone():
    data = dataset(["cat"], [(0,)])
    assert look_at(data, data.records[0]).problem == ""
