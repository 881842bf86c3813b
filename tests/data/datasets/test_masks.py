"""What masks hold and mean, told before anything is trained."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tagmask.config import FolderData
from tagmask.contracts import Record
from tagmask.conventions import IGNORE
from tagmask.data.datasets.checks import Problems
from tagmask.data.datasets.masks import (
    MaskLook,
    MaskReading,
    check_mask_sizes,
    check_mask_values,
    look_at_mask,
    mask_reading,
    packed_colours,
    without_background,
)
from tagmask.data.orientation import Shape
from tagmask.errors import TagmaskError

CLASSES = ("cat", "dog")
RED, BLUE = (255, 0, 0), (0, 0, 255)
COLOURS = {"#000000": "background", "#FF0000": "cat", "#0000ff": "dog"}


def save(path: Path, rows: object, mode: str | None = None, kind: type = np.uint8) -> Path:
    image = Image.fromarray(np.array(rows, kind))
    (image if mode is None else image.convert(mode)).save(path)
    return path


def reading(**settings):
    return mask_reading(FolderData(**settings), CLASSES)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_numbers_may_mean_other_numbers(tmp_path: Path):
    path = save(tmp_path / "m.png", [[0, 255, 128, 2]])
    assert reading().read(path).tolist() == [[0, IGNORE, 128, 2]]
    assert reading(mask_values={255: 1, 128: 255}).read(path).tolist() == [[0, 1, IGNORE, 2]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_mean_classes(tmp_path: Path, mode: str):
    path = save(tmp_path / "m.png", [[(0, 0, 0), RED, BLUE]], mode)
    assert reading(mask_colours=COLOURS).read(path).tolist() == [[0, 1, 2]]
    with pytest.raises(TagmaskError, match=r"holds #0000ff, which data\.mask_colours does not name"):
        reading(mask_colours={"#000000": "background", "#ff0000": "ignore"}).read(path)


def test_settings_that_name_no_class_are_refused():
    with pytest.raises(TagmaskError, match=r"mask_colours names kitten; expected one of background, ignore, cat, dog"):
        reading(mask_colours={"#ff0000": "kitten"})
    with pytest.raises(TagmaskError, match=r"mask_values leads to 3, 7; expected 0 \(background\), 1 to 2 .* or 255"):
        reading(mask_values={255: 3, 1: 7, 2: 255})


def test_colours_are_packed_from_red_to_blue(tmp_path: Path):
    assert packed_colours(save(tmp_path / "m.png", [[(1, 2, 3)]])).tolist() == [[0x010203]]


# ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "mode"), [(np.uint8, None), (np.uint16, None), (np.uint8, "P")])
def test_the_numbers_of_a_file(tmp_path: Path, kind: type, mode: str | None):
    path = save(tmp_path / "m.png", [[0, 1], [255, 1]], mode if mode is None else "L", kind)
    look = look_at_mask("a", path, reading())
    assert look == MaskLook("a", (2, 2), frozenset({0, 1, IGNORE}), frozenset({0, 1, 255}))


def test_colours_without_a_meaning(tmp_path: Path):
    path = save(tmp_path / "m.png", [[(0, 0, 0), RED]])
    assert look_at_mask("a", path, reading()).colours == {0, 0xFF0000}
    look = look_at_mask("a", path, reading(mask_colours={"#ff0000": "dog"}))
    assert (look.numbers, look.colours) == ({2}, {0})


@pytest.mark.parametrize(("suffix", "words"), [(".jpg", "JPEG changes numbers"), (".png", "not an image")])
def test_files_that_cannot_be_masks(tmp_path: Path, suffix: str, words: str):
    path = save(tmp_path / f"m{suffix}", [[0, 1]])
    if suffix == ".png":
        path.write_bytes(b"text")
    assert words in str(look_at_mask("a", path, reading()).reason)


# ── judging ──────────────────────────────────────────────────────────────────────────────────────────────────────────

TAGS = {"a": (0,), "b": (1,), "c": (0, 1), "d": ()}


def told(numbers: dict[str, set[int]], tags: dict[str, tuple[int, ...]] = TAGS, ignored: int = 255) -> str:
    looks = [
        MaskLook(key, (2, 2), frozenset(IGNORE if n == ignored else n for n in found), frozenset(found))
        for key, found in numbers.items()
    ]
    problems = Problems()
    records = [Record(key, tags[key], "train", has_mask=True) for key in numbers]
    check_mask_values(looks, records, CLASSES, problems)
    try:
        problems.raise_any(Path("here"))
    except TagmaskError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "numbers",
    [
        {"a": {0, 1}, "b": {0, 2}, "c": {1, 2}, "d": {0}},
        {"a": {0, 1, 255}, "b": {0, 2, 255}},
        {"a": {0, 1, 2}, "b": {0, 1, 2}, "c": {1, 2}, "d": {0, 2}},  # tags that say less than the masks
        {"a": {0}, "c": {1, 2}, "d": {0}, "b": {2}},  # one cat is not drawn
        {},
    ],
)
def test_masks_that_agree_with_their_tags_pass(numbers: dict[str, set[int]]):
    assert told(numbers) == ""


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([{1}, {1, 2}, {2, IGNORE}, {1}, {2}], 1),
        ([{1}, {1, 2}, {2}, {1}], 0),  # so few may be chance
        ([{1}, {1, 2}, {2}, {1}, {0, 1}], 0),
        ([{1}, {1, 2}, {2}, {1}, set()], 0),  # one cannot be read
    ],
)
def test_masks_without_any_background_are_remarked_upon(numbers: list[set[int]], said: int):
    looks = [MaskLook(str(i), numbers=frozenset(n), reason=None if n else "broken") for i, n in enumerate(numbers)]
    remarks = list(without_background(looks))
    assert len(remarks) == said
    assert all(remark.startswith("None of 5 masks has a pixel of background") for remark in remarks)


def test_binary_masks_whose_255_means_no_label_are_refused_with_the_setting():
    text = told({"a": {0, 255}, "c": {0, 255}, "d": {0}}, {"a": (0,), "c": (0,), "d": ()})
    assert "cat (number 1; not in 2 of 2 masks, such as a, which holds 255 instead" in text
    assert "set data.mask_values={255: 1}" in text


def test_masks_without_their_class_are_refused():
    assert "cat (number 1; not in 1 of 1 masks, such as a)" in told({"a": {0}, "b": {2}})


def test_numbers_that_are_no_class_are_refused_by_number():
    text = told({"a": {0, 7}, "b": {7, 9}, "c": {1, 2}})
    assert "number in masks that is no class (2): 7 in 2 masks (a, ...), 9 in the mask of b; set data." in text
    assert "most images" not in text


def test_numbers_in_another_order_than_the_classes_are_refused():
    text = told({"a": {0, 2}, "b": {0, 1}, "c": {1, 2}, "d": {0}})
    assert "cat (number 1; the masks hold 2), dog (number 2; the masks hold 1); list the classes in the order" in text


def test_numbers_that_begin_a_class_too_early_are_refused():
    assert "dog (number 2; not in 2 of 2 masks" in told({"a": {0}, "b": {1}, "c": {0, 1}, "d": {0}})


def test_colours_are_refused_by_colour():
    problems = Problems()
    check_mask_values([MaskLook("a", colours=frozenset({0xFF0000}))], [], CLASSES, problems)
    with pytest.raises(TagmaskError, match=r'\(1\): #ff0000 in the mask of a; set data\.mask_colours={"#rrggbb": name'):
        problems.raise_any(Path("here"))


def sizes(look: tuple[int, int], shape: Shape, as_stored: bool = False) -> tuple[str, list[str]]:
    problems = Problems()
    notes = list(check_mask_sizes([MaskLook("a", look)], {"a": shape}, as_stored, problems))
    try:
        problems.raise_any(Path("here"))
    except TagmaskError as error:
        return str(error), notes
    return "", notes


def test_masks_have_the_size_of_the_upright_image():
    assert sizes((5, 3), Shape((3, 5), 6)) == ("", [])
    assert "EXIF entry turns it (1): a (mask 3 x 5, image 5 x 3 rows" in sizes((3, 5), Shape((3, 5), 6))[0]
    assert "of another size than its image (1): a (mask 3 x 4, image 3 x 5" in sizes((3, 4), Shape((3, 5)))[0]


def test_masks_have_the_size_of_the_stored_image_where_that_is_wanted():
    assert sizes((3, 5), Shape((3, 5), 6), as_stored=True) == ("", [])
    assert "set data.exif=upright" in sizes((5, 3), Shape((3, 5), 6), as_stored=True)[0]


def test_turns_that_keep_the_size_are_said():
    text, notes = sizes((3, 5), Shape((3, 5), 3))
    assert text == ""
    assert "1 photographs with a mask are turned by EXIF without a change of size, such as a" in notes[0]


def test_a_negative_number_has_no_meaning_until_it_is_given_one(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.array([[-1, 1], [0, 70000]], np.int32)).save(path)
    plain, named = MaskReading(255, {}, {}), MaskReading(255, {-1: 255, 70000: 1}, {})
    with pytest.raises(TagmaskError, match=r"holds -1; .*data\.mask_values=\{-1: number meant\}"):
        plain.read(path)
    assert "holds -1" in look_at_mask("a", path, plain).reason
    assert named.read(path).tolist() == [[IGNORE, 1], [0, 1]]
    assert look_at_mask("a", path, named).numbers == {IGNORE, 0, 1}
