import os
import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.datasets.photo_folder import ALL_TRAIN, mask_of, paint, splits_of, table, tags_of
from tagmask.config import FolderData
from tagmask.conventions import IGNORE
from tagmask.data.datasets import open_dataset, score_records
from tagmask.data.datasets.folder import Folder
from tagmask.data.datasets.held_out import share_of
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError


def test_a_csv_with_splits(tmp_path: Path):
    paint(tmp_path, "a.jpg", "deep/b.PNG", "c.jpeg", "d.jpg")
    table(tmp_path, "image,tags,split", "a.jpg,cat;dog,train", "deep/b.PNG,,val", "c.jpeg, cat ,train", "d.jpg,,train")
    data = Folder(FolderData(), tmp_path)
    assert data.classes == ("cat", "dog")
    assert tags_of(data) == {"a": ["cat", "dog"], "deep/b": [], "c": ["cat"], "d": []}
    assert splits_of(data) == {"a": "train", "deep/b": "val", "c": "train", "d": "train"}
    assert data.read_image(data.records[1]).shape == (16, 24, 3)
    assert data.image_path(data.records[1]) == tmp_path / "deep" / "b.PNG"
    assert data.notes == ()
    assert data.name == tmp_path.name


def test_one_subfolder_per_class(tmp_path: Path):
    paint(tmp_path, "dog/x.jpg", "cat/deep/y.jpg", "z.jpg", ".hidden/w.jpg")
    data = Folder(FolderData(tags=None, **ALL_TRAIN), tmp_path)
    assert data.classes == ("cat", "dog")
    assert tags_of(data) == {"cat/deep/y": ["cat"], "dog/x": ["dog"], "z": []}


def test_folders_of_splits_are_no_classes(tmp_path: Path):
    paint(tmp_path, "train/dog/x.jpg", "train/cat/y.jpg", "Val/cat/z.jpg")
    assert "called Val, train, which are splits" in refusal(FolderData(tags=None, **ALL_TRAIN), tmp_path)
    assert Folder(FolderData(tags=None, images="train", **ALL_TRAIN), tmp_path).classes == ("cat", "dog")


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
    table(tmp_path, "image,tags", "a.jpg,", "deep/b.jpg,cat")
    write_mask(tmp_path / "truth" / "deep" / "b.png", mask_of(1, IGNORE))
    data = Folder(FolderData(masks="truth", **ALL_TRAIN), tmp_path)
    first, second = data.records
    assert (first.has_mask, second.has_mask) == (False, True)
    assert data.read_mask(first) is None
    mask = data.read_mask(second)
    assert mask is not None
    np.testing.assert_array_equal(mask, mask_of(1, IGNORE))
    assert data.notes == ("No image has the split 'val'; the splits are train.",)


def test_a_mask_with_a_number_that_is_no_class_is_refused(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    write_mask(tmp_path / "truth" / "a.png", mask_of(2))
    data = Folder(FolderData(masks="truth", **ALL_TRAIN), tmp_path, verify=False)
    with pytest.raises(TagmaskError, match=r"a\.png holds 2, the classes end at 1"):
        data.read_mask(data.records[0])


def test_three_hundred_classes(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg," + ";".join(f"class{number:03d}" for number in range(300)))
    write_mask(tmp_path / "truth" / "a.png", mask_of(*range(1, 301), IGNORE), num_classes=300)
    data = Folder(FolderData(masks="truth", ignore_value=65535, **ALL_TRAIN), tmp_path)
    mask = data.read_mask(data.records[0])
    assert mask is not None
    np.testing.assert_array_equal(mask, mask_of(*range(1, 301), IGNORE))
    assert len(data.records[0].tags) == 300


def test_unused_files_are_told(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    table(tmp_path, "image,tags,split", "a.jpg,cat,train")
    notes = Folder(FolderData(), tmp_path).notes
    assert "2 image files are not in the table of tags and are not used, such as b.jpg." in notes
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


# ── tags and splits ──────────────────────────────────────────────────────────────────────────────────────────────────


def refusal(config: FolderData, root: Path) -> str:
    with pytest.raises(TagmaskError) as raised:
        Folder(config, root)
    return str(raised.value)


def test_tags_that_differ_in_case_are_refused_or_joined(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    table(tmp_path, "image,tags", "a.jpg,dog", "b.jpg,Dog;cat", "c.jpg,dog")
    told = refusal(FolderData(**ALL_TRAIN), tmp_path)
    assert "differ only in case or blanks (1): Dog / dog; " in told
    assert "data.join_case=true" in told
    data = Folder(FolderData(join_case=True, **ALL_TRAIN), tmp_path)
    assert tags_of(data) == {"a": ["dog"], "b": ["cat", "dog"], "c": ["dog"]}
    assert any("dog, Dog as dog" in note or "Dog, dog as dog" in note for note in data.notes)


def test_subfolders_that_differ_in_case_are_refused(tmp_path: Path):
    paint(tmp_path, "Cat/a.jpg", "cat/b.jpg")
    assert "Cat / cat" in refusal(FolderData(tags=None, **ALL_TRAIN), tmp_path)


def test_a_tag_called_background_is_refused_or_left_out(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat;Background", "b.jpg,Background")
    told = refusal(FolderData(**ALL_TRAIN), tmp_path)
    assert "called background (1): Background (2 images); " in told
    assert "data.not_classes=[background], or rename it" in told
    assert "without a training image" not in told
    data = Folder(FolderData(not_classes=("background",), **ALL_TRAIN), tmp_path)
    assert tags_of(data) == {"a": ["cat"], "b": []}


def test_a_list_that_begins_with_background(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    (tmp_path / "classes.txt").write_text("background\ncat\n")
    assert "called background (1): background (0 images)" in refusal(FolderData(**ALL_TRAIN), tmp_path)
    assert Folder(FolderData(not_classes=("background",), **ALL_TRAIN), tmp_path).classes == ("cat",)


def test_every_class_keeps_an_image_for_training(tmp_path: Path):
    names = [f"{number}.png" for number in range(20)]
    paint(tmp_path, *names)
    lone = min(names, key=lambda name: share_of(name[:-4]))  # the first to be held out
    table(tmp_path, "image,tags", *[f"{name},{'newt' if name == lone else 'cat'}" for name in names])
    data = Folder(FolderData(val_fraction=0.3), tmp_path)
    assert splits_of(data)[lone[:-4]] == "train"
    assert len(data.split("val")) > 0
    assert any(f"newt ({lone[:-4]})" in note for note in data.notes)


def test_splits_that_are_written_down_are_kept(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "image,tags,split", "a.jpg,cat,train", "b.jpg,newt,val")
    assert "class without a training image (1): newt" in refusal(FolderData(), tmp_path)


def test_a_class_that_every_image_shows_is_said(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", "b.jpg,cat;dog")
    assert any(
        "Every training image has the tag cat:" in note for note in Folder(FolderData(**ALL_TRAIN), tmp_path).notes
    )


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_names_in_another_case_are_found_and_said(tmp_path: Path):
    paint(tmp_path, "IMG_0.JPG", "b.jpg")
    table(tmp_path, "image,tags", "img_0.jpg,cat", "b.jpg,")
    data = Folder(FolderData(**ALL_TRAIN), tmp_path)
    assert list(tags_of(data)) == ["IMG_0", "b"]
    assert "1 images were found in another case: img_0.jpg as IMG_0.JPG." in data.notes


def test_linked_class_folders_are_said(tmp_path: Path):
    paint(tmp_path / "data", "cat/a.jpg", "dog/b.jpg")
    paint(tmp_path / "other", "c.jpg")
    (tmp_path / "data" / "newt").symlink_to(tmp_path / "other")
    notes = Folder(FolderData(tags=None, **ALL_TRAIN), tmp_path / "data").notes
    assert "1 entries are passed over: newt (a linked folder)." in notes


def test_thin_and_tiny_images_are_said(tmp_path: Path):
    paint(tmp_path, "a.png")
    Image.new("RGB", (5000, 1)).save(tmp_path / "b.png")
    table(tmp_path, "image,tags", "a.png,cat", "b.png,")
    notes = Folder(FolderData(**ALL_TRAIN), tmp_path).notes
    assert any(note.startswith("1 images are less than 16 pixels across") and "b (1 x 5000)" in note for note in notes)


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.save(path, exif=exif)


def test_a_mask_of_the_photograph_as_stored_is_refused_or_taken(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg")
    turned(tmp_path / "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", "b.jpg,")
    write_mask(tmp_path / "truth" / "a.png", mask_of(1))
    told = refusal(FolderData(masks="truth", **ALL_TRAIN), tmp_path)
    assert "EXIF entry turns it (1): a (mask 16 x 24, image 24 x 16 rows x columns); " in told
    assert "data.exif=as_stored" in told
    data = Folder(FolderData(masks="truth", exif="as_stored", **ALL_TRAIN), tmp_path)
    assert data.read_image(data.records[0]).shape == (16, 24, 3)
    np.testing.assert_array_equal(data.read_mask(data.records[0]), mask_of(1))


def test_masks_of_which_none_belongs_to_an_image(tmp_path: Path):
    paint(tmp_path, "a.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat")
    write_mask(tmp_path / "truth" / "a_mask.png", mask_of(1))
    told = refusal(FolderData(masks="truth", **ALL_TRAIN), tmp_path)
    assert "without a mask of any image" in told
    assert "looked for a.png, ...; there are a_mask.png" in told


def test_masks_of_no_image_are_said_where_others_lack_one(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", "b.jpg,")
    for name in ("a", "b_mask"):
        write_mask(tmp_path / "truth" / f"{name}.png", mask_of(1))
    notes = Folder(FolderData(masks="truth", **ALL_TRAIN), tmp_path).notes
    assert any("such as b_mask.png, while 1 images have no mask, such as b" in note for note in notes)


def test_masks_that_are_not_scored_are_not_looked_at(tmp_path: Path):
    paint(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "image,tags", "a.jpg,cat", "b.jpg,")
    write_mask(tmp_path / "truth" / "a.png", mask_of(1))
    (tmp_path / "truth" / "b.png").write_bytes(b"torn")
    assert "unreadable mask (1): b (not an image)" in refusal(FolderData(masks="truth", **ALL_TRAIN), tmp_path)
    (tmp_path / "ids.txt").write_text("a\n")
    Folder(FolderData(masks="truth", score_ids="ids.txt", **ALL_TRAIN), tmp_path)
