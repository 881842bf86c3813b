import json
import sys

import pytest

BEFORE = {
    "machine": {"cores": 2},
    "walk": {"seconds": 1.0, "seconds_repeats": [0.99, 1.0, 1.01], "error": 1e-7},
    "parts": [
        {"stage": "maps", "part": "maps", "units": 4, "seconds": 2.0, "seconds_repeats": [1.0, 2.0, 3.0]},
        {"stage": "predict", "part": "masks", "units": 4, "seconds": 4.0, "bare_seconds": 2.0},
    ],
}
AFTER = {
    "machine": {"cores": 4},
    "walk": {"seconds": 1.2, "seconds_repeats": [1.19, 1.2, 1.21], "error": 2e-7},
    "parts": [
        {"stage": "begin", "part": "images", "units": 1, "seconds": 9.0},
        {"stage": "maps", "part": "maps", "units": 4, "seconds": 3.0, "seconds_repeats": [2.0, 3.0, 4.0]},
        {"stage": "predict", "part": "masks", "units": 4, "seconds": 3.0, "bare_seconds": 3.0},
    ],
}


def found(script):
    return {change.name: change for change in script("ratio").changes(BEFORE, AFTER)}


def test_what_both_have_is_compared_wherever_it_stands_in_a_list(script):
    assert {name: round(change.ratio, 6) for name, change in found(script).items()} == {
        "walk.seconds": 1.2,
        "walk.error": 2.0,
        "parts.maps, maps.seconds": 1.5,
        "parts.predict, masks.seconds": 0.75,
        "parts.predict, masks.bare_seconds": 1.5,
    }


def test_noise_is_four_spreads_of_both_files(script):
    noise = {name: change.noise for name, change in found(script).items()}
    assert noise["walk.seconds"] == pytest.approx(4 * (0.01**2 + (0.01 / 1.2) ** 2) ** 0.5, rel=1e-3)
    assert noise["parts.maps, maps.seconds"] == pytest.approx(4 * (0.5**2 + (1 / 3) ** 2) ** 0.5, rel=1e-3)
    assert noise["parts.predict, masks.seconds"] == 0.1  # no repeats
    assert noise["walk.error"] is None  # no cost
    assert noise["parts.predict, masks.bare_seconds"] is None


def test_only_what_is_beyond_noise_is_marked(script):
    assert {name: str(change)[0] for name, change in found(script).items()} == {
        "walk.seconds": "+",
        "walk.error": " ",
        "parts.maps, maps.seconds": " ",
        "parts.predict, masks.seconds": "-",
        "parts.predict, masks.bare_seconds": " ",
    }


def test_one_repeat_more_than_none_is_no_spread(script):
    assert script("ratio").noise_of([1.0, 1.0], [1.0, 1.0]) == 0.1


def test_equal_repeats_leave_the_least_noise(script):
    assert script("ratio").noise_of([1.0] * 5, [2.0] * 5) == 0.02


def test_nothing_before_has_an_infinite_ratio_and_no_mark(script):
    change = script("ratio").Change("a.seconds", 0.0, 1.0, 0.1)
    assert change.ratio == float("inf")
    assert not change.is_slower(1.1)


@pytest.mark.parametrize(("factor", "code"), [("1.1", 1), ("1.3", 0), (None, 0)])
def test_the_exit_code_tells_what_is_slower(script, tmp_path, monkeypatch, capsys, factor, code):
    paths = []
    for name, figures in (("before", BEFORE), ("after", AFTER)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(figures))
    monkeypatch.setattr(
        sys, "argv", ["ratio.py", *map(str, paths), *([] if factor is None else ["--fail-above", factor])]
    )
    assert script("ratio").main() == code
    printed = capsys.readouterr().out
    assert "not alike: machine.cores: 2 before, 4 after" in printed
    assert "bare passes: 1.500 of the seconds before" in printed
    assert ("more than 1.1 times as much" in printed) == bool(code)
