import pickle
from dataclasses import replace

import numpy as np
import pytest

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
    pack(tmp_path / "train-0.tar", [("a.txt", b"x")])
    with pytest.raises(TagmaskError, match=r"no images in .*train-0\.tar; expected KEY\.jpg with KEY\.json"):
        tar(tmp_path)


def test_classes_are_listed_or_joined_as_those_of_a_folder(tmp_path):
    packed_scenes(tmp_path)
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    assert tar(tmp_path, masks="mask.png", mask_values={1: 2, 2: 1}).classes == ("dog", "cat")
    assert tar(tmp_path, masks="mask.png", not_classes=["dog"], classes=["cat"], ignore_value=2).classes == ("cat",)


def test_large_images_are_read_smaller(tmp_path):
    data = open_dataset(TarData(masks="mask.png", largest_side=16), packed_scenes(tmp_path))
    assert data.read_image(data.records[0]).shape[1] == 16


def test_a_shard_that_vanishes_is_told(tmp_path):
    data = tar(packed_scenes(tmp_path), masks="mask.png")
    (tmp_path / "val-000000.tar").unlink()
    with pytest.raises(TagmaskError, match=r"cannot read .*val-000000\.tar"):
        data.read_image(data.records[-1])
    assert data.read_mask(replace(data.records[0], has_mask=False)) is None
