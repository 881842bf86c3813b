import json

import pytest

from tagmask.data.class_list import is_class_list


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"index": 0, "name": "background", "color": "#000000"}], True),
        ([], False),
        (["cat"], False),
        ({"0": "cat"}, False),
        ([{"index": 0, "name": "background"}], False),
    ],
)
def test_only_what_is_written_beside_masks_is_a_class_list(tmp_path, content, expected):
    path = tmp_path / "classes.json"
    assert not is_class_list(path)
    path.write_text(json.dumps(content))
    assert is_class_list(path) == expected


def test_what_is_no_json_is_none(tmp_path):
    (tmp_path / "classes.json").write_text("[" * 100_000)
    assert not is_class_list(tmp_path / "classes.json")
