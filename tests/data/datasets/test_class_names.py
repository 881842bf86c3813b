import unicodedata
from pathlib import Path

import pytest

from tagmask.config import FolderData
from tagmask.data.datasets.checks import Problems
from tagmask.data.datasets.class_names import ClassNames, background_notes, count_tags, listed_classes, name_classes
from tagmask.errors import TagmaskError


def named(tags: dict[str, int], listed: tuple[str, ...] | None = None, **settings) -> ClassNames:
    problems = Problems()
    found = name_classes(tags, listed, FolderData(**settings), problems)
    problems.raise_any(Path("here"))
    return found


def test_plain_tags_are_the_classes():
    found = named({"cat": 2, "dog": 1})
    assert found == ClassNames(("cat", "dog"), {"cat": "cat", "dog": "dog"})


@pytest.mark.parametrize("other", ["Cat", "CAT", "cat ", "c\u0041t"])
def test_spellings_that_differ_in_case_or_blanks_are_told(other: str):
    with pytest.raises(TagmaskError, match=r"differ only in case or blanks \(1\): .*data\.join_case=true"):
        named({"cat": 2, other: 1})


def test_blanks_within_names():
    with pytest.raises(TagmaskError, match="Traffic  Light / traffic light"):
        named({"traffic light": 1, "Traffic  Light": 1})


def test_the_most_used_spelling_is_kept_but_the_listed_one_goes_first():
    tags = {"Cat": 1, "cat": 5, "dog": 1}
    assert named(tags, join_case=True).meant == {"Cat": "cat", "cat": "cat", "dog": "dog"}
    found = named(tags, ("Cat", "dog"), join_case=True)
    assert found.classes == ("Cat", "dog")
    assert found.meant["cat"] == "Cat"


def test_a_tag_in_another_case_than_the_list_is_told_once():
    with pytest.raises(TagmaskError, match="Cat / cat"):
        named({"Cat": 3}, ("cat",))


def test_tags_outside_the_list_mean_themselves():
    assert named({"zebra": 1, "cat": 1}, ("cat",)).meant == {"zebra": "zebra", "cat": "cat"}


@pytest.mark.parametrize("name", ["background", "BackGround", "_background_", "__background__"])
def test_background_is_no_class(name: str):
    with pytest.raises(TagmaskError, match=r"called background \(1\): .* \(2 images\).*not_classes=\[background\]"):
        named({name: 2, "cat": 1})
    found = named({name: 2, "cat": 1}, not_classes=("background",))
    assert found.classes == ("cat",)
    assert name not in found.meant
    assert found.notes == ("The tag background is left out of 2 images (data.not_classes).",)


def test_lists_come_from_the_settings_or_the_file(tmp_path: Path):
    assert listed_classes(FolderData(), tmp_path) is None
    (tmp_path / "classes.txt").write_text(unicodedata.normalize("NFD", "b\u00e4r\n"), encoding="utf-8")
    assert listed_classes(FolderData(), tmp_path) == ("b\u00e4r",)
    assert listed_classes(FolderData(classes=("a",)), tmp_path) == ("a",)


def test_counts_follow_the_order_given():
    assert count_tags([("b", "a"), ("b",)], ("c", "b")) == {"c": 0, "b": 2, "a": 1}


def test_a_class_that_is_called_background_is_pointed_out():
    assert list(background_notes(["cat", "back"])) == []
    assert "'Background'" in next(background_notes(["cat", "Background"]))
