import re
from pathlib import Path

import pytest

from tagmask.doctor.findings import KEYS, SEVERITIES, Finding, counted, in_order_of_severity, listed


def test_the_worst_come_first_and_alike_ones_in_the_order_of_the_keys():
    found = [
        Finding("data-note", "note", "a"),
        Finding("classes-together", "warn", "b"),
        Finding("classes-alike", "warn", "c"),
        Finding("data-refused", "stop", "d"),
        Finding("classes-alike", "note", "e"),
    ]
    assert [each.what for each in in_order_of_severity(found)] == ["d", "c", "b", "e", "a"]


def test_a_finding_has_a_known_key_and_says_what_it_has():
    assert Finding("data-note", "note", "What.", "", "Do.").text == "What. Do."
    with pytest.raises(AssertionError, match="classes-odd"):
        Finding("classes-odd", "note", "What.")


def test_keys_are_words_with_lines_and_a_sentence():
    assert all(key == key.lower() and " " not in key and text.endswith(".") for key, text in KEYS.items())
    assert SEVERITIES == ("stop", "warn", "note")


def test_names_are_listed_up_to_a_number():
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a"] * 1210, shown=1) == "a and 1,209 more"
    assert counted(0, "image") == "0 images"


def test_the_page_tells_every_key_in_this_order():
    page = (Path(__file__).resolve().parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (stop|warning|note)", page, re.MULTILINE)
    assert [key for key, _ in rows] == list(KEYS)
