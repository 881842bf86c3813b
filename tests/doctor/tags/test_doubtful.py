import numpy as np
import pytest

from tagmask.contracts import Record
from tagmask.doctor.tags import doubtful
from tagmask.doctor.tags.doubtful import Doubt, doubt_finding, find_doubts, require_cleanlab
from tagmask.errors import TagmaskError

RECORDS = [Record(str(place), (), "train") for place in range(40)]


def test_contradicted_tags_are_found_the_surest_first():
    tags = np.zeros((40, 2), bool)
    tags[:20, 0] = True
    tags[::2, 1] = True
    chances = np.where(tags, 0.9, 0.1).astype(np.float32)
    chances[3, 0] = 0.02  # tagged, and surely not there
    chances[30, 0] = 0.95  # not tagged, and surely there
    found = find_doubts(RECORDS, ["cat", "dog"], tags, chances, np.array([True, True]))
    assert [(each.record.id, each.name, each.is_tagged) for each in found] == [("3", "cat", True), ("30", "cat", False)]
    assert found[0].surprise == pytest.approx(0.98)
    assert found[1].surprise == pytest.approx(0.95)
    assert find_doubts(RECORDS, ["cat", "dog"], tags, chances, np.array([False, True])) == []


def test_doubts_are_told_with_who_doubts():
    doubts = [Doubt(RECORDS[3], 0, "cat", True, 0.02), Doubt(RECORDS[3], 1, "dog", False, 0.9)]
    said = doubt_finding(doubts, 99, "somebody")
    assert said.what == "2 tags look wrong, of 99 that were judged: 3 (not cat?), 3 (dog?)."
    assert said.about == ("3",)
    assert "somebody" in said.why
    assert doubt_finding(doubts[:1], 9, "x").what.startswith("1 tag looks wrong,")
    assert (said.severity, doubt_finding(doubts, 100, "x").severity) == ("warn", "note")
    nothing = doubt_finding([], 9, "x")
    assert (nothing.what, nothing.severity, nothing.do) == ("0 tags look wrong, of 9 that were judged.", "note", "")


def test_without_cleanlab_its_name_and_the_extra_are_told(monkeypatch):
    monkeypatch.setattr(doubtful, "find_spec", lambda _: None)
    with pytest.raises(TagmaskError, match=r"cleanlab.*tagmask\[doctor\]"):
        require_cleanlab()
