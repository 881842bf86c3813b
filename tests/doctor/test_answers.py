import dataclasses
import json

import pytest

from doctor.invented import Invented, census
from tagmask.config import FolderData
from tagmask.contracts import Record
from tagmask.doctor.answers import MOST, as_json, closing_lines, counts_table, finding_lines, sizes_sentence
from tagmask.doctor.examination import Examination
from tagmask.doctor.expectation import recommended
from tagmask.doctor.findings import Finding
from tagmask.doctor.image_findings import Sizes
from tagmask.doctor.near_duplicates import Twins
from tagmask.doctor.tags.doubtful import Doubt

CENSUS = census(["cat", "dog"], [(0,)] * 1200 + [()], [(1,)])
CAT, COPY = Record("a", (0,), "train"), Record("b", (0,), "val")
REFUSED = Finding("data-refused", "stop", "They are odd.")


@pytest.fixture
def found() -> Examination:
    return Examination(
        None,
        "invented",
        (Finding("classes-few", "note", "Few.", "Weak.", "Add.", ("cat",)),),
        Invented(["cat", "dog"], [CAT, COPY]),
        CENSUS,
        Sizes((1, 2), (3, 4), (5, 6)),
        (Twins(CAT, COPY, "same file"),),
        (Doubt(CAT, 0, "cat", True, 0.01),),
        ("Much.",),
        recommended(FolderData(), (), "folder-cpu"),
    )


def test_counts_are_a_table_with_a_line_for_all(found):
    head, rows = counts_table(found)
    assert head == ("class", "train", "val")
    assert rows == [("cat", "1,200", "0"), ("dog", "0", "1"), ("without tags", "1", "0"), ("images", "1,201", "1")]
    assert counts_table(Examination(None, "x", (REFUSED,))) == ((), [])
    masked = dataclasses.replace(found, census=dataclasses.replace(CENSUS, masks={"train": 1000, "val": 0}))
    assert counts_table(masked)[1][-2] == ("with a mask", "1,000", "0")


def test_findings_and_what_follows_are_lines(found):
    assert finding_lines(found) == ["note: Few. Weak. Add."]
    assert sizes_sentence(found) == "rows x columns: 1 x 2 (smallest), 3 x 4 (middle), 5 x 6 (largest)"
    assert closing_lines(found) == [
        "expect: Much.",
        "Ready: nothing speaks against a run.",
        "next: tagmask run folder-cpu --out runs/folder-cpu",
    ]


def test_what_is_refused_is_not_recommended():
    refused = Examination(None, "x", (REFUSED,))
    assert finding_lines(refused) == ["STOP: They are odd."]
    assert sizes_sentence(refused) == ""
    assert closing_lines(refused) == ["Stop: a run would refuse these data."]
    written = as_json(refused)
    assert (written["verdict"], written["images"], written["recommendation"]) == ("stop", None, None)


def test_scripts_get_everything_under_stable_keys(found):
    written = json.loads(json.dumps(as_json(found)))
    assert list(written) == [
        "version", "data", "name", "verdict", "sentence", "counts", "findings", "images", "near_duplicates",
        "doubtful_tags", "expect", "recommendation",
    ]  # fmt: skip
    assert written["counts"] == {"stop": 0, "warn": 0, "note": 1}
    assert written["findings"][0] == {
        "key": "classes-few", "severity": "note", "what": "Few.", "why": "Weak.", "do": "Add.", "number": 1,
        "about": ["cat"],
    }  # fmt: skip
    assert written["images"]["splits"]["train"] == {
        "images": 1201,
        "without_tags": 1,
        "with_mask": 0,
        "per_class": {"cat": 1200, "dog": 0},
    }
    assert written["images"]["sizes"] == {"smallest": [1, 2], "middle": [3, 4], "largest": [5, 6]}
    assert written["near_duplicates"] == {
        "number": 1,
        "across_splits": 1,
        "pairs": [{"first": "a", "second": "b", "kind": "same file", "splits": ["train", "val"]}],
    }
    assert written["doubtful_tags"]["tags"] == [{"image": "a", "class": "cat", "tagged": True, "probability": 0.01}]
    assert written["recommendation"]["command"].startswith("tagmask run folder-cpu")


def test_long_lists_are_cut_and_their_number_is_said():
    names = tuple(map(str, range(MOST + 5)))
    written = as_json(Examination(None, "x", (Finding("images-small", "note", "Small.", about=names),)))
    assert (written["findings"][0]["number"], len(written["findings"][0]["about"])) == (MOST + 5, MOST)
