import io
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data.datasets.photo_folder import splits_of, tags_of
from data.datasets.tar_content import SIZE, mask, pack, packed_scenes, picture, told
from tagmask.config import TarData
from tagmask.data.datasets import open_dataset
from tagmask.data.datasets.tar import Tar
from tagmask.errors import TagmaskError


def tar(folder, **settings) -> Tar:
    return Tar(TarData.model_validate(settings), folder)


def test_samples_become_records_and_are_read_in_place(tmp_path):
    data = tar(packed_scenes(tmp_path / "animals"), masks="mask.png")
    assert (data.name, data.classes) == ("animals", ("cat", "dog"))
    assert tags_of(data) == {
        **{"a/0000": ["cat"], "a/0001": ["dog"], "a/0002": [], "a/0003": ["cat"], "a/0004": ["dog"], "a/0005": []},
        **{"b/0000": ["cat"], "b/0001": ["dog"]},
    }
    assert splits_of(data) == {record.id: "train" if record.id[0] == "a" else "val" for record in data.records}
    fifth = data.records[4]
    image = data.read_image(fifth)
    assert image.shape == (SIZE[1], SIZE[0], 3)
    assert image[0, 0].tolist() == [0, 200, 4]
    assert image[0, -1].tolist() == [4, 0, 0]
    truth = data.read_mask(fifth)
    assert truth is not None
    assert np.unique(truth[:, :4]).tolist() == [2]
    assert np.unique(truth[:, 4:]).tolist() == [0]
    assert data.image_path(fifth) is None
    assert data.read_saliency(fifth) is None


def test_masks_are_read_only_where_they_are_asked_for(tmp_path):
    assert all(record.has_mask for record in tar(packed_scenes(tmp_path / "x"), masks="mask.png").records)
    assert not any(record.has_mask for record in tar(tmp_path / "x").records)
    with pytest.raises(TagmaskError, match=r"folder of masks without a mask of any image .*data\.masks=seg\.png"):
        tar(pack_one(tmp_path / "third", ("a.jpg", picture(0, "JPEG"))), masks="seg.png")


def pack_one(folder, *files):
    folder.mkdir()
    pack(folder / "train-0.tar", [*files, ("a.json", told("cat"))])
    return folder


def test_it_is_copied_to_other_processes(tmp_path):
    data = tar(packed_scenes(tmp_path), masks="mask.png")
    copy = pickle.loads(pickle.dumps(data))
    assert copy.records == data.records
    assert np.array_equal(copy.read_image(copy.records[0]), data.read_image(data.records[0]))


def test_without_splits_a_share_is_held_out(tmp_path):
    files = [
        (name, content)
        for n in range(40)
        for name, content in ((f"{n}.png", picture(n)), (f"{n}.json", told("cat" if n % 2 else "dog")))
    ]
    pack(tmp_path / "photos-0.tar", files)
    splits = [*splits_of(tar(tmp_path, val_fraction=0.2)).values()]
    assert 2 <= splits.count("val") <= 16
    told_in_json = tar(pack_one(tmp_path / "one", ("a.jpg", picture(0, "JPEG"))), val_split=None)
    assert splits_of(told_in_json) == {"a": "train"}


def test_the_split_in_the_json_goes_before_the_name_of_the_shard(tmp_path):
    files = [
        ("a.png", picture(0)),
        ("a.json", told("cat")),
        ("b.png", picture(1)),
        ("b.json", told("cat", split="val")),
    ]
    pack(tmp_path / "train_0.tar", files)
    assert splits_of(tar(tmp_path)) == {"a": "train", "b": "val"}


def test_bad_images_are_named_or_left_out(tmp_path):
    packed_scenes(tmp_path)
    pack(tmp_path / "train-000002.tar", [("c.jpg", picture(0, "JPEG")[:300]), ("c.json", told("cat"))])
    with pytest.raises(TagmaskError, match=r"unreadable image \(1\): train-000002\.tar/c\.jpg \("):
        tar(tmp_path, masks="mask.png")
    data = tar(tmp_path, masks="mask.png", on_bad_image="skip")
    assert data.skipped == ("c",)
    assert "c" not in {record.id for record in data.records}
    assert "1 bad images are left out: c." in data.notes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shards": "val-*.tar"}, r"no image of the training split \(1\): 'train' \(found: val\)"),
        ({"classes": ["cat", "dog", "cow"]}, r"class without a training image \(1\): cow"),
        ({"classes": ["cat"]}, r"tag that is not in the class list \(1\): 'dog' at train-000000\.tar/a/0001\.png"),
        ({"shards": "*.zip"}, r"no tar files \*\.zip in"),
        ({"shards": "../*.tar"}, r"expected a pattern below the data folder"),
        ({"shards": "."}, r"data\.shards=\.: .*expected a pattern such as \*\.tar"),
        ({"shards": "train-{0..1}.tar"}, r"there are train-000000\.tar, .*braces are no pattern: write train-\*\.tar"),
        ({"masks": ".seg.png"}, r"looked for a/0000\.seg\.png"),
        ({"mask_values": {2: 9}}, r"data\.mask_values leads to 9"),
        ({"saliency": "sal"}, r"folder of saliency maps"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, settings, message):
    packed_scenes(tmp_path)
    with pytest.raises(TagmaskError, match=message):
        tar(tmp_path, **{"masks": "mask.png", "val_split": "val", **settings})


def test_masks_are_looked_at(tmp_path):
    folder = pack_one(tmp_path / "x", ("a.png", picture(0)), ("a.mask.png", mask(7)))
    with pytest.raises(TagmaskError, match=r"number in masks that is no class \(1\): 7 in the mask of a"):
        tar(folder, masks="mask.png")


def test_a_folder_without_images_is_refused(tmp_path):
    pack(tmp_path / "train-0.tar", [("a.txt", b"x"), ("b.1.jpg", b"x")])
    told_all = r"no images in .*train-0\.tar; expected KEY\.jpg with KEY\.json.*: its ending is taken to be \.1\.jpg"
    with pytest.raises(TagmaskError, match=told_all):
        tar(tmp_path)


def test_classes_are_listed_or_joined_as_those_of_a_folder(tmp_path):
    packed_scenes(tmp_path)
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    assert tar(tmp_path, masks="mask.png", mask_values={1: 2, 2: 1}).classes == ("dog", "cat")
    assert tar(tmp_path, masks="mask.png", not_classes=["dog"], classes=["cat"], ignore_value=2).classes == ("cat",)


def test_large_images_are_read_smaller(tmp_path):
    data = open_dataset(TarData(masks="mask.png", largest_side=16), packed_scenes(tmp_path))
    assert data.read_image(data.records[0]).shape[1] == 16
    assert "8 of 8 images are larger than 16 pixels a side" in data.notes[0]


def test_images_of_one_colour_are_told(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16), 5, np.uint16)).save(buffer, "PNG")
    pack(tmp_path / "train-0.tar", [("a.png", buffer.getvalue()), ("a.json", told("cat"))])
    assert any(note.startswith("1 images have one colour throughout: a;") for note in tar(tmp_path).notes)


def test_images_and_masks_that_are_links_are_named_or_left_out(tmp_path):
    packed_scenes(tmp_path)
    with tarfile.open(tmp_path / "train-000002.tar", "w") as file:
        for name in ("c.png", "d.mask.png"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.LNKTYPE, "x.png"
            file.addfile(link)
        for name, content in (("d.png", picture(9)), ("c.json", told("cat")), ("d.json", told("cat"))):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    with pytest.raises(TagmaskError, match=r"unreadable image \(1\): train-000002\.tar/c\.png \(it is a link") as found:
        tar(tmp_path, masks="mask.png")
    assert "unreadable mask (1): d (it is a link" in str(found.value)
    assert tar(tmp_path, on_bad_image="skip").skipped == ("c",)


def test_folders_of_tar_files_may_be_splits(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        pack(tmp_path / split / "0.tar", [(f"{split}.png", picture(1)), (f"{split}.json", told("cat"))])
    assert splits_of(tar(tmp_path, shards="**/*.tar")) == {"train": "train", "val": "val"}
    with pytest.raises(TagmaskError, match=r"there are train/0\.tar, val/0\.tar, which data\.shards can name"):
        tar(tmp_path)
    (tmp_path / "val" / "0.tar").rename(tmp_path / "x.tar.gz")
    with pytest.raises(TagmaskError, match=r"x\.tar\.gz, which must be unpacked"):
        tar(tmp_path, shards="y*.tar")


def test_tar_files_whose_names_begin_with_no_split_are_told(tmp_path):
    packed_scenes(tmp_path)
    assert not any("begin with none" in note for note in tar(tmp_path).notes)
    pack(tmp_path / "test-0.tar", [("c.png", picture(9)), ("c.json", told("cat"))])
    (note,) = (note for note in tar(tmp_path).notes if "begin with none" in note)
    assert note.startswith("The names of 1 tar files begin with none of the splits train or val, such as test-0.tar:")


def test_a_shard_that_vanishes_is_told(tmp_path):
    data = tar(packed_scenes(tmp_path), masks="mask.png")
    (tmp_path / "val-000000.tar").unlink()
    with pytest.raises(TagmaskError, match=r"cannot read .*val-000000\.tar"):
        data.read_image(data.records[-1])
    assert data.read_mask(replace(data.records[0], has_mask=False)) is None
