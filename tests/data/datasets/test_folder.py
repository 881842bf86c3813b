import os
import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.datasets.photo_folder import ALL_TRAIN, paint, splits_of, table, tags_of
from tagmask.config import FolderData
from tagmask.conventions import IGNORE
from tagmask.data.datasets import open_dataset, score_records
from tagmask.data.datasets.folder import Folder
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError


def test_a_csv_with_splits(tmp_path: Path):
    paint(tmp_path, "a.jpg", "deep/b.PNG", "c.jpeg")
    table(tmp_path, "image,tags,split", "a.jpg,cat;dog,train", "deep/b.PNG,,val", "c.jpeg, dog ,train")
    data = Folder(FolderData(), tmp_path)
    assert data.classes == ("cat", "dog")
    assert tags_of(data) == {"a": ["cat", "dog"], "deep/b": [], "c": ["dog"]}
    assert splits_of(data) == {"a": "train", "deep/b": "val", "c": "train"}
    assert data.read_image(data.records[1]).shape == (4, 6, 3)
    assert data.image_path(data.records[1]) == tmp_path / "deep" / "b.PNG"
    assert data.notes == ()
    assert data.name == tmp_path.name


def test_one_subfolder_per_class(tmp_path: Path):
    paint(tmp_path, "dog/x.jpg", "cat/deep/y.jpg", "z.jpg", ".hidden/w.jpg")
    data = Folder(FolderData(tags=None, **ALL_TRAIN), tmp_path)
    assert data.classes == ("cat", "dog")
    assert tags_of(data) == {"cat/deep/y": ["cat"], "dog/x": ["dog"], "z": []}


def test_the_class_list_is_the_file_or_the_configured_one(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat;dog")
    (tmp_path / "classes.txt").write_text("dog\n\ncat\n")
    assert Folder(FolderData(**ALL_TRAIN), tmp_path).classes == ("dog", "cat")
    (tmp_path / "classes.txt").write_text("ant\n")
    data = Folder(FolderData(classes=("dog", "cat"), **ALL_TRAIN), tmp_path)
    assert tags_of(data) == {"a": ["dog", "cat"]}


def test_without_splits_a_fixed_share_is_held_out(tmp_path: Path):
    names = [f"{number}.png" for number in range(200)]
    paint(tmp_path, *names)
    table(tmp_path, "image,tags", *[f"{name},cat" for name in names])
    data = Folder(FolderData(val_fraction=0.2), tmp_path, verify=False)
    assert 20 < len(data.split("val")) < 60
    table(tmp_path, "image,tags", *[f"{name},cat" for name in reversed(names)])
    assert splits_of(Folder(FolderData(val_fraction=0.2), tmp_path, verify=False)) == splits_of(data)
    assert set(splits_of(Folder(FolderData(val_split=None), tmp_path, verify=False)).values()) == {"train"}


def broken_folder(root: Path):
    paint(root, *[f"{name}.png" for name in ("good", "twice", "twin", "zebra", "both")], "twin.jpg", "both.jpg")
    (root / "torn.jpg").write_bytes((root / "twin.jpg").read_bytes()[:-50])
    (root / "empty.jpg").touch()
    table(
        root, "image,tags", "good.png,cat", "gone.png,cat", "torn.jpg,cat", "empty.jpg,cat", "twice.png,cat",
        "twice.png,dog", "twin.png,cat", "twin.jpg,cat", "zebra.png,zebra", "../outside.png,cat", "/etc/x.png,cat",
        "a/../../b.png,cat", "link.png,cat", "both,cat", "odd.png,cat,more,cells", ",cat",
    )  # fmt: skip
    paint(root.parent, "outside.png")
    (root / "link.png").symlink_to(root.parent / "outside.png")


def test_everything_that_is_wrong_is_told_at_once_and_by_name(tmp_path: Path):
    broken_folder(tmp_path / "data")
    config = FolderData(classes=("cat", "unseen"), **ALL_TRAIN)
    with pytest.raises(TagmaskError) as raised:
        Folder(config, tmp_path / "data")
    lines = {line.strip().split(" (")[0]: line for line in str(raised.value).splitlines()[1:]}
    expected = {
        "image without a file": ["(1)", "gone.png"],
        "unreadable image": ["(2)", "torn.jpg", "empty.jpg"],
        "image listed more than once": ["(1)", "twice.png"],
        "images that differ only in their extension": ["(1)", "twin.jpg"],
        "tag that is not in the class list": ["(1)", "'zebra' at zebra.png"],
        "image outside the image folder": ["(4)", "../outside.png", "/etc/x.png", "a/../../b.png", "link.png"],
        "image name that fits several files": ["(1)", "both"],
        "row that does not fit its table": ["(2)", "row 16", "row 17"],
        "class without a training image": ["(1)", "unseen"],
    }
    assert set(lines) == set(expected)
    for kind, words in expected.items():
        assert all(word in lines[kind] for word in words), lines[kind]


@pytest.mark.parametrize("verify", [True, False])
def test_bad_images_may_be_left_out(tmp_path: Path, verify: bool):
    paint(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-50])
    table(tmp_path, "image,tags", "a.jpg,cat", "torn.jpg,cat", "gone.jpg,cat", "b.jpg,cat")
    data = Folder(FolderData(on_bad_image="skip", **ALL_TRAIN), tmp_path, verify=verify)
    assert list(tags_of(data)) == ["a", "b"]
    assert data.skipped == ("torn", "gone")
    assert any("2 bad images" in note for note in data.notes)


def test_wrong_paths_and_empty_folders(tmp_path: Path):
    with pytest.raises(TagmaskError, match="nowhere does not exist"):
        Folder(FolderData(), tmp_path / "nowhere")
    with pytest.raises(TagmaskError, match="no image files below"):
        Folder(FolderData(), tmp_path)
    paint(tmp_path, "a.jpg")
    with pytest.raises(TagmaskError, match="is a file; expected the data folder"):
        Folder(FolderData(), tmp_path / "a.jpg")
    with pytest.raises(TagmaskError, match=r"tags\.csv"):
        Folder(FolderData(), tmp_path)
    with pytest.raises(TagmaskError, match=r"photos does not exist.*data\.images"):
        Folder(FolderData(images="photos"), tmp_path)
    with pytest.raises(TagmaskError, match="--data"):
        open_dataset(FolderData(), None)


def test_masks_are_found_by_name_and_not_taken_for_images(tmp_path: Path):
    paint(tmp_path, "a.jpg", "deep/b.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", "deep/b.jpg,cat")
    write_mask(tmp_path / "truth" / "deep" / "b.png", np.array([[0, 1, IGNORE]]))
    data = Folder(FolderData(masks="truth", **ALL_TRAIN), tmp_path)
    first, second = data.records
    assert (first.has_mask, second.has_mask) == (False, True)
    assert data.read_mask(first) is None
    mask = data.read_mask(second)
    assert mask is not None
    assert mask.tolist() == [[0, 1, IGNORE]]
    assert data.notes == ("No image has the split 'val'; the splits are train.",)


def test_a_mask_with_a_number_that_is_no_class_is_refused(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    write_mask(tmp_path / "truth" / "a.png", np.array([[0, 2]]))
    data = Folder(FolderData(masks="truth", **ALL_TRAIN), tmp_path)
    with pytest.raises(TagmaskError, match=r"a\.png holds 2, the classes end at 1"):
        data.read_mask(data.records[0])


def test_three_hundred_classes(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg," + ";".join(f"class{number:03d}" for number in range(300)))
    write_mask(tmp_path / "truth" / "a.png", np.array([[0, 255, 300, IGNORE]]), num_classes=300)
    data = Folder(FolderData(masks="truth", ignore_value=65535, **ALL_TRAIN), tmp_path)
    mask = data.read_mask(data.records[0])
    assert mask is not None
    assert mask.tolist() == [[0, 255, 300, IGNORE]]
    assert len(data.records[0].tags) == 300


def test_unused_files_are_told(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    table(tmp_path, "image,tags,split", "a.jpg,cat,train")
    notes = Folder(FolderData(), tmp_path).notes
    assert any(note.startswith("2 image files are not in the table") for note in notes)
    assert any("no" in note.lower() and "'val'" in note for note in notes)


def test_worker_processes_can_have_it(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    data = Folder(FolderData(**ALL_TRAIN), tmp_path)
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy.read_image(copy.records[0]), data.read_image(data.records[0]))


def test_real_photographs():
    root = Path(os.environ.get("TAGMASK_SHARED", "../shared")) / "data" / "voc-animals"
    if not root.is_dir():
        pytest.skip(f"the photographs of {root} are not here")
    config = FolderData(images="images", masks="masks", score_ids="train_with_masks.txt")
    data = open_dataset(config, root)
    assert len(data.records) == 1822
    assert (len(data.split("train")), len(data.split("val"))) == (1600, 222)
    assert data.classes == ("cat", "cow", "dog", "horse", "person", "sheep")
    scored = score_records(data, config, root)
    assert len(scored) == 437
    numbers: Iterable[int] = {int(n) for record in scored[:20] for n in np.unique(data.read_mask(record))}
    assert set(numbers) <= {IGNORE, *range(7)}


def test_a_folder_called_images_is_found(tmp_path: Path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "tags.csv").write_text("image,tags\na.png,cat\n")
    assert [record.id for record in Folder(FolderData(val_split=None), tmp_path).records] == ["a"]
