import pytest

from tagmask.errors import TagmaskError
from tagmask.serving.parts import Parts, is_shared, maker


@pytest.fixture
def files(tmp_path):
    (tmp_path / "photos").mkdir()
    found = {}
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        found[name] = tmp_path / "photos" / name
        found[name].write_bytes(b"photo")
    return found


@pytest.fixture
def out(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / f"out/{name}.png").write_bytes(b"...IEND\xaeB`\x82")  # as a PNG ends
    return tmp_path / "out"


def test_a_part_is_there_when_all_its_photographs_are_done(files, out):
    parts = Parts(out, "x")
    assert not parts.has(files)
    parts.write(files, {"a.jpg": [1, 2], "b.jpg": [3, 0], "elsewhere": [9, 9]})
    assert parts.has(files)
    assert not parts.has({"a.jpg": files["a.jpg"]})
    assert parts.read(files) == {"a.jpg": [1, 2], "b.jpg": [3, 0], "c.jpg": None}
    assert parts.read({"b.jpg": files["b.jpg"]}) == {"b.jpg": [3, 0]}


def test_what_was_made_by_something_else_is_not_done(files, out):
    Parts(out, "x").write(files, {"a.jpg": [1, 2]})
    assert Parts(out, "y").read(files) == {}
    assert not Parts(out, "y").has(files)


def test_a_photograph_that_has_changed_or_lost_its_mask_is_not_done(files, out):
    parts = Parts(out, "x")
    parts.write(files, {"a.jpg": [1, 2], "b.jpg": [3, 0]})
    (out / "a.jpg.png").write_bytes(b"...IEND")
    files["c.jpg"].write_bytes(b"another photograph")
    assert parts.read(files) == {"b.jpg": [3, 0]}
    assert not parts.has(files)


def test_parts_are_removed_and_a_damaged_one_is_named(files, out):
    parts = Parts(out, "x")
    assert not is_shared(out)
    parts.write(files, {})
    assert is_shared(out)
    next((out / "shards").iterdir()).write_text("[]")
    with pytest.raises(TagmaskError, match=r"shards.*remove it"):
        parts.read(files)
    parts.remove()
    assert parts.read(files) == {}
    assert not is_shared(out)


def test_masks_are_made_by_weights_tiles_and_overlays(tmp_path):
    (tmp_path / "segmenter.safetensors").write_bytes(b"1")
    (tmp_path / "log.jsonl").write_bytes(b"anything")
    made = [maker(tmp_path, "auto", True), maker(tmp_path, 512, True), maker(tmp_path, "auto", False)]
    (tmp_path / "segmenter.safetensors").write_bytes(b"2")
    made.append(maker(tmp_path, "auto", True))
    assert len(set(made)) == 4
    (tmp_path / "log.jsonl").write_bytes(b"other")
    assert maker(tmp_path / "segmenter.safetensors", "auto", True) == maker(str(tmp_path), "auto", True) == made[3]
