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


def test_a_split_is_a_name(tmp_path):
    told_splits = {"a": "val", "b": " val ", "c": "", "d": None, "e": 1}
    files = [
        each
        for key, split in told_splits.items()
        for each in ((f"{key}.jpg", b"x"), (f"{key}.json", told(split=split)))
    ]
    _, rows = read(tmp_path, files)
    assert [row.split for row in rows.values()] == ["val", "val", None, None, "1"]


def test_files_of_an_image_may_lie_anywhere_in_a_shard(tmp_path):
    files = [("b.json", told("dog")), ("a.jpg", b"x"), ("b.seg.png", mask(1)), ("a.json", told("cat")), ("b.jpg", b"x")]
    found, rows = read(tmp_path, files, masks=".seg.png", tags=".JSON")
    assert {key: row.tags for key, row in rows.items()} == {"b": ("dog",), "a": ("cat",)}
    assert found["b"].mask.name == "b.seg.png"


def test_files_of_tags_without_an_image_may_be_left_out(tmp_path):
    files = [("a.jpg", b"x"), ("a.json", told("cat")), ("b.json", told("cat"))]
    problems = Problems()
    config = TarData(on_bad_image="skip")
    _, rows = read_samples([pack(tmp_path / "s-0.tar", files)], config, problems)
    problems.raise_any(tmp_path)
    assert list(rows) == ["a"]
    assert problems.remarks == ["1 files of tags without an image are left out: s-0.tar/b.json."]


def test_images_whose_names_have_several_dots_are_told(tmp_path):
    files = [("a.jpg", b"x"), ("a.json", told("cat")), ("b.1.jpg", b"x"), ("b.1.json", told("cat"))]
    problems = Problems()
    read_samples([pack(tmp_path / "s-0.tar", files)], TarData(), problems)
    (remark,) = problems.remarks
    assert remark.startswith("1 files of s-0.tar are not used, such as b.1.jpg: its ending is taken to be .1.jpg")


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
        ([("a.jpg", b"x"), ("a.json", b'{"label": 1}')], r"a\.json \(no 'tags'; there are label: see data\.tags_key\)"),
        (
            [("a.jpg", b"x"), ("a.json", json.dumps(dict.fromkeys("abcdefghijklm", 1)).encode())],
            r"there are a, b, c, d, e, f, g, h, i, j, \.\.\.: see",
        ),
        (
            [("a.jpg", b"x"), ("a.json", b'{"tags": {"a": 1}}')],
            r"cannot be read \(1\): s-0\.tar/a\.json \(\"{'a': 1}\"\)",
        ),
        ([("a.jpg", b"x"), ("a.json", b'["\\ud800"]')], r"cannot be read \(1\): s-0\.tar/a\.json"),
        ([("a.jpg", b"x"), ("a.json", b'["a\\u0000"]')], r"cannot be read \(1\): s-0\.tar/a\.json"),
        ([("a.jpg", b"x"), ("a.json", told(split=["val"]))], r"its 'split' is \['val'\]; expected a name"),
        ([("a.jpg", b"x"), ("a.json", b'{"tags": [], "split": "\\ud800"}')], r"a\.json \('utf-8' codec can't encode"),
        ([("a" * 241 + ".jpg", b"x")], r"id that no file can have \(1\): 'aaaa"),
        ([("a\udcff.jpg", b"x")], r"id that no file can have \(1\): 'a\\udcff' in s-0\.tar; rename"),
        ([("a/" * 1001 + "a.jpg", b"x")], r"id that no file can have"),
        (
            [("a.jpg", b"x"), ("a.json", told("cat")), ("./a.json", told("dog"))],
            r"listed more than once \(1\): a\.json in s-0\.tar; keep one of them",
        ),
        (
            [("a.left.jpg", b"x"), ("a.json", told("cat"))],
            r"without an image beside it \(1\): s-0\.tar/a\.json \(there is a\.left\.jpg, which ends in \.left\.jpg\)",
        ),
        ([("a.jpg", b"x"), ("a.json", b"\xff\xfe")], r"cannot be read \(1\): s-0\.tar/a\.json"),
        ([("a.json", told("cat"))], r"file of tags without an image beside it \(1\): s-0\.tar/a\.json; add KEY\.jpg"),
        (
            [("a.jpg", b"x"), ("a.json", told("cat")), ("b.jpg", b"x"), ("b.json", told()), ("a.jpg", b"x")],
            r"listed more than once \(1\): a\.jpg in s-0\.tar",
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
    far = [(f"{n}.jpg", b"x") for n in range(63)] + [("99.json", told()), ("99.jpg", b"x")]
    assert holds_samples(pack(tmp_path / "e.tar", far), config)
    (tmp_path / "d.tar").write_text("nothing")
    assert not holds_samples(tmp_path / "d.tar", config)


def test_an_image_of_two_shards_is_refused(tmp_path):
    files = [("a.jpg", b"x"), ("a.json", told("cat"))]
    problems = Problems()
    read_samples([pack(tmp_path / f"s-{n}.tar", files) for n in range(2)], TarData(), problems)
    with pytest.raises(TagmaskError, match=r"listed more than once \(1\): a \(s-0\.tar, s-1\.tar\); keep one of them"):
        problems.raise_any(tmp_path)
