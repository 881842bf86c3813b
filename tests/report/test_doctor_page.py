import dataclasses

import pytest

from doctor.invented import Invented, census, records
from report.pages import assert_whole
from tagmask.config import FolderData
from tagmask.contracts import Record
from tagmask.doctor.examination import Examination
from tagmask.doctor.expectation import recommended
from tagmask.doctor.findings import Finding
from tagmask.doctor.near_duplicates import Twins
from tagmask.doctor.tags.doubtful import Doubt
from tagmask.errors import TagmaskError
from tagmask.report.doctor_page import content, write
from tagmask.report.page import render

TRAINING = records("train", [(0,), (1,), (0, 1), ()])
CENSUS = census(["cat", "<b>dog"], [each.tags for each in TRAINING])
REFUSED = Finding("data-refused", "stop", "Odd:\n  one\n  two")


@pytest.fixture
def found() -> Examination:
    same = Twins(TRAINING[0], TRAINING[1], "same picture")
    equal = Twins(TRAINING[0], dataclasses.replace(TRAINING[0], id="copy"), "same file")
    return Examination(
        None,
        "invented",
        (Finding("classes-few", "warn", "Few <i>images</i>.", "Weak maps.", "Add some.", ("cat",)),),
        Invented(["cat", "<b>dog"], TRAINING),
        CENSUS,
        None,
        (equal, same),
        (Doubt(TRAINING[2], 0, "cat", True, 0.031), Doubt(TRAINING[3], 1, "<b>dog", False, 0.97)),
        ("Not much.",),
        recommended(FolderData(), (), "folder-cpu"),
    )


def test_the_page_says_and_shows_everything(found, tmp_path):
    text = write(found, tmp_path / "doctor.html").read_text()
    page = assert_whole(text)
    for words in (
        *("What the doctor says of invented", "with 1 warning", "Few <i>images</i>.", "Weak maps.", "Add some."),
        *("The same picture more than once", "Tags that look wrong", "Not much.", "tagmask run folder-cpu"),
    ):
        assert words in page.text
    assert "<i>images" not in text
    assert page.captions[:2] == ["train: cat", "train: <b>dog"]  # other tags first
    assert page.captions[-2:] == ["tagged cat, likely to 3 %", "no tag <b>dog, likely to 97 %"]


def test_what_is_refused_has_no_more_than_the_reason():
    shown = content(Examination(None, "odd", (REFUSED,)))
    assert (shown.verdict, shown.command, shown.counts, shown.twins, shown.expected) == ("stop", "", None, [], ())
    text = render(shown)
    assert assert_whole(text)
    assert text.count("<h2>") == 1
    assert "<p>  one</p><p>  two</p>" in text


def test_only_some_pairs_are_shown_and_the_rest_is_counted(found):
    many = dataclasses.replace(found, twins=found.twins * 20, doubts=found.doubts * 20)
    shown = content(many)
    assert (len(shown.twins), shown.more_twins) == (16, 24)
    assert (len(shown.doubts), shown.more_doubts) == (24, 16)
    assert "24 more pairs are in doctor.json" in render(shown)


def test_an_image_that_cannot_be_read_leaves_a_gap(found, monkeypatch):
    def unreadable(_, record: Record):
        raise TagmaskError(f"cannot read {record.id}")

    monkeypatch.setattr(Invented, "read_image", unreadable)
    assert [card.pictures for card in content(found).twins] == [[], []]
