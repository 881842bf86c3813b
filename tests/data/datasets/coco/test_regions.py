import multiprocessing
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tagmask.conventions import IGNORE
from tagmask.data.datasets.coco.regions import Outline, Regions
from tagmask.errors import TagmaskError


def square(left: int, right: int) -> list[np.ndarray]:
    return [np.array([[left, 0], [right, 0], [right, 2], [left, 2]], np.float64)]


def outline(place: int, parts, area: float = 1, is_crowd: bool = False) -> Outline:
    return Outline("x", place, is_crowd, area, parts)


def painted(regions: Regions, image: int) -> list[list[int]]:
    return regions.paint(image, 2, 4).tolist()


@pytest.fixture
def regions() -> Regions:
    """Two objects over a crowd, nothing, and run lengths."""
    crowd = outline(0, square(0, 4), area=99, is_crowd=True)
    first = [outline(1, square(0, 1), area=2), outline(2, square(0, 3), area=6), crowd]
    return Regions([first, [], [outline(4, np.array([6, 2]))]])


def test_small_objects_lie_over_large_ones_and_crowds_below(regions):
    assert painted(regions, 0) == [[2, 3, 3, IGNORE]] * 2
    assert painted(regions, 1) == [[0] * 4] * 2
    assert painted(regions, 2) == [[0, 0, 0, 5]] * 2


def test_an_object_of_several_parts_is_one():
    two = outline(0, [*square(0, 1), *square(3, 4)])
    assert painted(Regions([[two]]), 0) == [[1, 0, 0, 1]] * 2


@pytest.mark.parametrize("images", [[], [[]]])
def test_no_outlines_at_all(images):
    again = pickle.loads(pickle.dumps(Regions([*images, []])))
    assert painted(again, 0) == [[0] * 4] * 2


def test_run_lengths_of_another_size_are_refused(regions):
    with pytest.raises(ValueError, match="expected 3 x 4"):
        regions.paint(2, 3, 4)


def test_other_processes_read_the_numbers_from_one_file(regions, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sent = [pickle.dumps(regions) for _ in range(3)]
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    again = pickle.loads(sent[2])
    assert isinstance(again._numbers, np.memmap)
    assert [painted(again, image) for image in range(3)] == [painted(regions, image) for image in range(3)]
    assert pickle.loads(pickle.dumps(again)).paint(0, 2, 4).tolist() == painted(regions, 0)


def test_what_is_sent_does_not_grow_with_the_number_of_corners():
    def sent(corners: int) -> int:
        turn = np.linspace(0, 6, corners)
        return len(pickle.dumps(Regions([[outline(0, [np.stack([np.cos(turn), np.sin(turn)], axis=1)])]])))

    assert sent(10_000) < sent(10) + 100


def test_a_fresh_process_can_paint(regions):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(regions.paint, (0, 2, 4)).tolist() == painted(regions, 0)


def test_a_full_temporary_folder_is_named(regions, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(TagmaskError, match=r"TMPDIR"):
        pickle.dumps(regions)


def test_a_file_that_has_gone_is_named(regions, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sent = pickle.dumps(regions)
    for path in Path(tmp_path).rglob("*.npy"):
        path.unlink()
    with pytest.raises(TagmaskError, match="are gone"):
        pickle.loads(sent)
