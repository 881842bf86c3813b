import json

import pytest


def figures(**values):
    """As the script makes them: one point a value."""
    points = [{"axis": axis, "value": value} for axis, given in values.items() for value in given]
    return {"protocol": {"points": {axis: [*given] for axis, given in values.items()}, "repeats": 3}, "points": points}


@pytest.fixture
def growth(script):
    return script("growth")


def test_axes_that_are_left_out_keep_what_the_file_holds(growth, tmp_path):
    file = tmp_path / "growth.json"
    file.write_text(json.dumps(figures(images=[200, 400], side=[160])))
    assert growth.beside(file, figures(side=[240, 480])) == figures(images=[200, 400], side=[240, 480])


def test_without_a_file_there_is_nothing_beside(growth, tmp_path):
    found = figures(classes=[3])
    assert growth.beside(None, found) is found
    assert growth.beside(tmp_path / "growth.json", found) is found
