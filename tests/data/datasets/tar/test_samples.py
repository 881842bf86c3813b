import json

import pytest

from data.datasets.tar_content import mask, pack, picture, told
from tagmask.config import TarData
from tagmask.data.datasets.checks import Problems
from tagmask.data.datasets.tar import samples
from tagmask.data.datasets.tar.samples import holds_samples, read_samples
from tagmask.errors import TagmaskError


def read(tmp_path, files, **settings):
    """Samples and rows of a shard; what is wrong is raised."""
    problems = Problems()
    found = read_samples([pack(tmp_path / "s-0.tar", files)], TarData.model_validate(settings), problems)
    problems.raise_any(tmp_path)
    return found


@pytest.mark.parametrize(
    ("content", "tags"),
    [
        ({"tags": ["cat", "dog"]}, ("cat", "dog")),
        ({"tags": "cat; dog"}, ("cat", "dog")),
        ({"tags": []}, ()),
        ({"tags": None}, ()),
        (["dog"], ("dog",)),
        ("cat", ("cat",)),
    ],
)
def test_tags_in_json(tmp_path, content, tags):
    _, rows = read(tmp_path, [("a.jpg", b"x"), ("a.json", json.dumps(content).encode())])
    assert rows["a"].tags == tags


def test_tags_in_text(tmp_path):
    files = [("a.jpg", b"x"), ("a.txt", b"cat;dog\n"), ("b.txt", b"cat\nbig dog\n"), ("b.jpg", b"x"), ("c.jpg", b"x")]
    _, rows = read(tmp_path, [*files, ("c.txt", b"")], tags="txt")
    assert [row.tags for row in rows.values()] == [("cat", "dog"), ("cat", "big dog"), ()]


def test_keys_and_endings_are_settings(tmp_path):
    files = [("a.jpg", b"x"), ("a.meta.JSON", b'{"labels": ["cat"], "fold": "test"}'), ("a.seg.png", mask(1))]
    found, rows = read(tmp_path, files, tags="meta.json", tags_key="labels", split_key="fold", masks="seg.png")
    assert (rows["a"].tags, rows["a"].split) == (("cat",), "test")
    assert found["a"].mask.name == "a.seg.png"


def test_masks_are_not_taken_for_images(tmp_path):
    files = [("a.jpg", b"x"), ("a.json", told("cat")), ("a.png", mask(1))]
    with pytest.raises(TagmaskError, match=r"images that differ only in their extension \(1\): a\.jpg, a\.png in s-0"):
        read(tmp_path, files)
    found, _ = read(tmp_path, files, masks="png")
    assert found["a"].image.name == "a.jpg"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.jpg", b"x")], r"image without a file of tags beside it \(1\): s-0\.tar/a\.jpg; add KEY\.json"),
        ([("a.jpg", b"x"), ("a.json", b"{")], r"cell of tags that cannot be read \(1\): s-0\.tar/a\.json \(Expecting"),
        ([("a.jpg", b"x"), ("a.json", b'{"label": 1}')], r"a\.json \(no 'tags'; there are label\)"),
        ([("a.jpg", b"x"), ("a.json", b'{"tags": {"a": 1}}')], r"cannot be read \(1\): s-0\.tar/a\.json"),
        ([("a.jpg", b"x"), ("a.json", b"\xff\xfe")], r"cannot be read \(1\): s-0\.tar/a\.json"),
        ([("a.json", told("cat"))], r"image without a file \(1\): a in s-0\.tar"),
        (
            [("a.jpg", b"x"), ("a.json", told("cat")), ("b.jpg", b"x"), ("b.json", told()), ("a.jpg", b"x")],
            r"listed more than once \(1\): a \(s-0\.tar, s-0\.tar\)",
        ),
    ],
)
def test_what_is_wrong_is_told_by_name(tmp_path, files, message):
    with pytest.raises(TagmaskError, match=message):
        read(tmp_path, files)


def test_a_file_of_tags_is_not_read_whatever_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "LONGEST_TAGS", 10)
    with pytest.raises(TagmaskError, match=r"a\.json \(17 bytes; expected 10 at most\)"):
        read(tmp_path, [("a.jpg", b"x"), ("a.json", told("cat"))])


def test_a_shard_of_samples_is_told_from_others(tmp_path):
    config = TarData()
    assert holds_samples(pack(tmp_path / "a.tar", [("a.jpg", picture(0)), ("a.json", told("cat"))]), config)
    assert not holds_samples(pack(tmp_path / "b.tar", [("a.jpg", picture(0)), ("b.json", told("cat"))]), config)
    assert not holds_samples(pack(tmp_path / "c.tar", [("a.jpg", picture(0))]), config)
    (tmp_path / "d.tar").write_text("nothing")
    assert not holds_samples(tmp_path / "d.tar", config)
