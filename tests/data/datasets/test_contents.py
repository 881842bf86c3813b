from tagmask.contracts import Dataset, Record
from tagmask.data.datasets.contents import changed_contents, contents, digest_of_file


def image(**changes):
    return {"split": "train", "tags": [0], "digest": 1, **changes}


def told(before, now):
    return changed_contents({"classes": ["cat"], "images": before}, {"classes": ["cat"], "images": now})


def test_what_is_the_same_is_no_change():
    assert told({"a": image()}, {"a": image()}) == []


def test_every_kind_of_change_is_told():
    assert told({"a": image(), "b": image()}, {"a": image(digest=2), "b": image(tags=[])}) == [
        "1 image(s) have other tags or another split: b",
        "1 image(s) have other pixels: a",
    ]


def test_what_earlier_versions_did_not_note_is_no_change():
    assert told({"a": image(digest=None)}, {"a": image()}) == []
    old = image()
    del old["digest"]
    assert told({"a": old}, {"a": image()}) == []


def test_a_digest_follows_the_content(tmp_path):
    path = tmp_path / "a.png"
    assert digest_of_file(None) is digest_of_file(path) is None
    path.write_bytes(b"one")
    first = digest_of_file(path)
    path.write_bytes(b"three")
    assert first != digest_of_file(path)


class OnePicture(Dataset):
    """A data set of one image, whose pixels nobody decodes."""

    name = "one"
    classes = ("cat",)
    records = (Record("a", (0,), "train"),)
    read_image = read_mask = None

    def __init__(self, path):
        self.path = path

    def image_path(self, record):
        return self.path


def test_pixels_are_looked_at_only_if_asked_for(tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    dataset = OnePicture(tmp_path / "a.png")
    before, unread = contents(dataset), contents(dataset, pixels=False)
    assert before["images"]["a"]["digest"] == 0x7A6C86F1  # CRC-32 of b"one"
    assert unread["images"]["a"]["digest"] is None
    (tmp_path / "a.png").write_bytes(b"two")
    assert changed_contents(before, contents(dataset)) == ["1 image(s) have other pixels: a"]
    assert changed_contents(before, contents(dataset, pixels=False)) == []
