import io

import numpy as np
import pytest
from PIL import Image

from doctor.invented import picture
from tagmask.contracts import Record
from tagmask.doctor import near_duplicates
from tagmask.doctor.looks import Look, grey_copy
from tagmask.doctor.near_duplicates import alike, find_twins, groups


def look(name: str, pixels: np.ndarray, content: bytes | None = None) -> Look:
    return Look(name, pixels.shape[:2], content or pixels.tobytes(), grey_copy(pixels))


def compressed(pixels: np.ndarray) -> np.ndarray:
    """Half as large, and hard pressed."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.resize((image.width // 2, image.height // 2)).save(buffer, "JPEG", quality=30)
    return np.asarray(Image.open(buffer))


def images(*named: tuple[str, str, np.ndarray]):
    records = [Record(name, (0,), split) for name, split, _ in named]
    return records, [look(name, pixels) for name, _, pixels in named]


def found(*named):
    twins = find_twins(*images(*named), "train")
    return [(pair.first.id, pair.second.id, pair.kind, pair.across_splits) for pair in twins]


def test_all_kinds_are_found_and_those_across_splits_come_first():
    one, other, third, fourth = (picture(seed, (240, 320)) for seed in range(4))
    assert found(
        ("one", "train", one),
        ("one again", "train", one),
        ("other", "val", other),
        ("other small", "train", compressed(other)),
        ("third", "train", third),
        ("third mirrored", "val", np.ascontiguousarray(third[:, ::-1])),
        ("fourth", "train", fourth),
    ) == [
        ("other small", "other", "same picture", True),
        ("third", "third mirrored", "mirror image", True),
        ("one", "one again", "same file", False),
    ]


def test_another_exposure_is_the_same_picture():
    dark = (picture(7) * 0.5).astype(np.uint8)
    assert found(("a", "train", picture(7)), ("b", "val", dark)) == [("a", "b", "same picture", True)]


def test_a_file_in_three_splits_is_paired_with_the_first_of_each():
    same = picture(1)
    pairs = found(("a", "train", same), ("b", "train", same), ("c", "val", same), ("d", "test", same))
    assert {pair[:2] for pair in pairs} == {("a", "b"), ("a", "c"), ("a", "d"), ("c", "d")}


@pytest.mark.parametrize("level", [0, 128, 255])
def test_plain_pictures_are_not_compared(level):
    plain = np.full((60, 80, 3), level, np.uint8)
    nearly = plain.copy()
    nearly[0, 0] = 200
    assert found(("a", "train", plain), ("b", "val", nearly)) == []


def test_unreadable_images_have_no_twins():
    records, looks = images(("a", "train", picture(0)), ("b", "val", picture(0)))
    bad = Look("c", None, b"", None, "not an image")
    assert len(find_twins([*records, Record("c", (), "val")], [*looks, bad], "train")) == 1
    assert find_twins([Record("c", (), "val")], [bad], "train") == []


def test_each_pair_comes_once_the_smaller_place_first():
    copies = np.stack([grey_copy(picture(seed)) for seed in (3, 4, 3, 3)])
    assert alike(copies).tolist() == [[0, 2], [0, 3], [2, 3]]
    assert alike(copies, mirrored=True).tolist() == []


def test_frames_of_a_still_camera_are_not_paired_for_ever(monkeypatch):
    random = np.random.default_rng(0)
    frames = grey_copy(picture(3)) // 2 + random.integers(0, 3, (300, 32, 32), dtype=np.uint8)
    assert len(alike(frames)) == 300 * 299 // 2
    monkeypatch.setattr(near_duplicates, "MOST", 1000)
    monkeypatch.setattr(near_duplicates, "_AT_ONCE", 100)
    assert 1000 <= len(alike(frames)) < 1100


def test_groups_join_what_is_alike_through_others():
    records, looks = images(*((str(i), "train", picture(seed)) for i, seed in enumerate((0, 1, 0, 2, 0))))
    numbers = groups(records, find_twins(records, looks, "train"))
    assert numbers[0] == numbers[2] == numbers[4]
    assert len(set(numbers.tolist())) == 3
    assert len(set(groups(records[:2], find_twins(records, looks, "train")).tolist())) == 2
