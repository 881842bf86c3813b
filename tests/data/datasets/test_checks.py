from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.datasets.photo_folder import ALL_TRAIN, paint, table
from tagmask.config import FolderData
from tagmask.contracts import Record
from tagmask.conventions import IGNORE
from tagmask.data.datasets.checks import (
    Problem,
    Problems,
    check_classes,
    check_numbers,
    class_numbers,
    common_folder,
    first_of_each_split,
    read_lines,
    settle,
    verify_classes,
    verify_images,
)
from tagmask.data.datasets.folder import Folder
from tagmask.errors import TagmaskError


def test_long_lists_are_cut(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", *[f"gone{number:02d}.jpg,cat" for number in range(25)])
    with pytest.raises(TagmaskError, match=r"\(25\): .*gone09\.jpg, \.\.\.;") as raised:
        Folder(FolderData(**ALL_TRAIN), tmp_path)
    assert "gone10" not in str(raised.value)


@pytest.mark.parametrize("classes", [(), ("cat", "cat"), ("cat", "")])
def test_class_lists_that_are_none(tmp_path: Path, classes: tuple[str, ...]):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    with pytest.raises(TagmaskError, match=r"data\.classes"):
        Folder(FolderData(classes=classes), tmp_path)


def test_a_class_whose_only_image_is_left_out_is_told(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", "gone.jpg,dog")
    with pytest.raises(TagmaskError, match=r"class without a training image \(1\): dog"):
        Folder(FolderData(on_bad_image="skip", **ALL_TRAIN), tmp_path)


def test_a_limited_number_of_each_split(tmp_path: Path):
    names = [f"{number}.jpg" for number in range(9)]
    paint(tmp_path, *names)
    split = ["train", "val", "test"]
    rows = [f"{name},{'cat' if k < 6 else 'dog'},{split[k % 3]}" for k, name in enumerate(names)]
    table(tmp_path, "image,tags,split", *rows)
    data = Folder(FolderData(max_images=2), tmp_path)
    assert [record.id for record in data.records] == ["0", "1", "2", "3", "4", "5"]
    assert data.classes == ("cat", "dog")


# ── what is wrong, told at once ──────────────────────────────────────────────────────────────────────────────────────


def told(problems: Problems) -> str:
    with pytest.raises(TagmaskError) as raised:
        problems.raise_any(Path("here"))
    return str(raised.value)


def test_each_kind_of_problem_is_a_line_with_number_names_and_remedy():
    problems = Problems()
    problems.add(Problem.DUPLICATE_ID, "a.png")
    problems.add(Problem.AMBIGUOUS, "b")
    problems.add(Problem.DUPLICATE_ID, "c.png")
    assert told(problems).splitlines() == [
        "the data in here cannot be used as they are:",
        "  images that differ only in their extension (2): a.png, c.png; rename all but one of them",
        "  image name that fits several files (1): b; write the names with their extensions, as the files have them",
    ]


def test_missing_images_are_told_with_the_folder_that_was_looked_in(tmp_path: Path):
    paint(tmp_path / "images", "deep/a.jpg")
    table(tmp_path, "image,tags", "deep/a.jpg,cat", "images/deep/gone.jpg,cat", "deep/lost.jpg,cat")
    with pytest.raises(TagmaskError) as raised:
        Folder(FolderData(**ALL_TRAIN), tmp_path)
    where = tmp_path.resolve() / "images" / "deep"
    assert f"image without a file (2): gone.jpg, lost.jpg; looked for in {where};" in str(raised.value)


def test_ten_names_are_shown_whole():
    problems = Problems()
    for number in range(10):
        problems.add(Problem.UNUSED_CLASS, f"class{number}")
    assert "(10): class0, " in told(problems)
    assert "class9; tag" in told(problems)


def test_where_nothing_is_wrong_nothing_is_raised():
    assert Problems().raise_any(Path("here")) is None


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lines_lose_blanks_and_the_mark_of_the_editor(tmp_path: Path):
    (tmp_path / "list.txt").write_bytes("\ufeffa\r\n\r\n  b c \n\t\n".encode())
    assert read_lines(tmp_path / "list.txt") == ("a", "b c")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_lists_that_are_missing_or_no_text_are_named(tmp_path: Path, content: bytes | None):
    if content:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(TagmaskError, match=r"cannot read the list .*list\.txt"):
        read_lines(tmp_path / "list.txt")


def test_a_class_list_names_at_least_one_class_and_each_once():
    assert check_classes(("b", "a"), "x") == ("b", "a")
    with pytest.raises(TagmaskError, match=r"x must name .*\(repeated: a, c\)"):
        check_classes(("c", "a", "b", "a", "c"), "x")
    for names in ((), ("a", "")):
        with pytest.raises(TagmaskError, match="x must name at least one class"):
            check_classes(names, "x")


def test_chosen_classes_are_numbered_as_chosen():
    known = ("ant", "bee", "cat")
    assert class_numbers(None, known) == {"ant": 0, "bee": 1, "cat": 2}
    assert class_numbers(("cat", "ant"), known) == {"cat": 0, "ant": 1}
    with pytest.raises(TagmaskError, match=r"names dog, owl; this data set has ant, bee, cat"):
        class_numbers(("dog", "cat", "owl"), known)


def test_the_folder_that_files_share():
    assert common_folder([Path("/a/b/c.jpg"), Path("/a/d.jpg")]) == Path("/a")
    assert common_folder([]) == Path()


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("numbers", [[[0, 3]], [[IGNORE, IGNORE]], [[]]])
def test_a_mask_of_classes_passes(numbers: list[list[int]]):
    mask = np.array(numbers, np.int32)
    assert check_numbers(mask, 3, Path("m.png")) is mask


def test_the_first_number_beyond_the_classes_is_refused():
    with pytest.raises(TagmaskError, match=r"m\.png holds 4, the classes end at 3"):
        check_numbers(np.array([[4, 1]], np.int32), 3, Path("m.png"))


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────

RECORDS = [
    Record("a", (0,), "train"),
    Record("b", (1,), "val"),
    Record("c", (0,), "train"),
    Record("d", (1,), "train"),
    Record("e", (0,), "test"),
]


def test_the_first_of_each_split_are_kept_in_order():
    assert [record.id for record in first_of_each_split(RECORDS, 1)] == ["a", "b", "e"]
    assert [record.id for record in first_of_each_split(RECORDS, 2)] == ["a", "b", "c", "e"]
    everything = tuple(RECORDS)
    assert first_of_each_split(everything, None) is everything


def test_validation_images_do_not_make_a_class_used():
    problems = Problems()
    verify_classes(RECORDS[:3], ("ant", "bee"), "train", problems)
    assert "class without a training image (1): bee;" in told(problems)


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    """A file for each record: c is torn, d is gone, e is empty."""
    paint(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "c.jpg").write_bytes((tmp_path / "c.jpg").read_bytes()[:-50])
    (tmp_path / "e.jpg").touch()
    return {record.id: tmp_path / f"{record.id}.jpg" for record in RECORDS}


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0.png"])
def test_names_that_no_file_can_have_are_missing(tmp_path, name):
    assert verify_images({"a": tmp_path / name}, decode=True)["a"][0] is Problem.MISSING


def test_torn_images_are_found_by_decoding_and_missing_ones_without(paths: dict[str, Path]):
    found = verify_images(paths, decode=True)
    assert {key: problem for key, (problem, _) in found.items()} == {
        "c": Problem.UNREADABLE,
        "d": Problem.MISSING,
        "e": Problem.UNREADABLE,
    }
    assert found["c"][1].startswith("c.jpg (")
    assert verify_images(paths, decode=False) == {"d": (Problem.MISSING, "d.jpg")}


def settled(paths: dict[str, Path], verify: bool = True, **settings) -> tuple[list[str], tuple[str, ...], Problems]:
    problems = Problems()
    records, skipped = settle(RECORDS, paths, ("ant", "bee"), FolderData(**settings), problems, verify)
    return [record.id for record in records], skipped, problems


def test_bad_images_of_the_splits_in_use_are_noted_and_others_not_looked_at(paths: dict[str, Path]):
    _, skipped, problems = settled(paths)
    assert skipped == ()
    lines = told(problems).splitlines()[1:]
    assert [line.split(" (")[0].strip() for line in lines] == ["unreadable image", "image without a file"]
    assert "e.jpg" not in told(problems)


def test_images_beyond_the_limit_are_not_looked_at(paths: dict[str, Path]):
    kept, _, problems = settled(paths, max_images=1)
    assert kept == ["a", "b", "e"]
    problems.raise_any(Path("here"))


def test_left_out_images_carry_no_class(paths: dict[str, Path]):
    kept, skipped, problems = settled(paths, on_bad_image="skip", verify=False)
    assert kept == ["a", "b", "e"]
    assert skipped == ("c", "d")
    assert "class without a training image (1): bee;" in told(problems)


def test_a_training_split_that_nobody_has_is_told_with_those_there_are(paths: dict[str, Path]):
    _, _, problems = settled(paths, train_split="learn", val_split=None)
    assert "no image of the training split (1): 'learn' (found: test, train, val);" in told(problems)


def test_images_that_become_one_colour_are_a_remark_and_no_problem(tmp_path):
    Image.new("RGBA", (4, 3)).save(tmp_path / "a.png")
    problems = Problems()
    records = [Record("a", (0,), "train")]
    kept, skipped = settle(records, {"a": tmp_path / "a.png"}, ("ant",), FolderData(), problems, True)
    assert (kept, skipped) == (tuple(records), ())
    problems.raise_any(tmp_path)
    assert "1 images have one colour throughout: a.png" in problems.remarks[0]


def test_a_class_without_images_is_told_with_what_it_may_be_misspelt_from():
    problems = Problems()
    records = [Record("a", (0,), "train"), Record("b", (1,), "val"), Record("c", (2,), "val")]
    verify_classes(records, ("horse", "hosre", "cow"), "train", problems)
    assert "class without a training image (2): hosre (misspelt horse?), cow;" in told(problems)
