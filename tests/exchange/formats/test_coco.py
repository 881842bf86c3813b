"""COCO, checked with its own library."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from exchange.conftest import CLASSES, drawn_mask
from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.exchange.formats import coco
from tagmask.exchange.items import Item, Parcel


def drawn_by_pycocotools(path, classes):
    """The mask of each image by its file name, drawn by COCO's own library."""
    data = COCO(str(path))
    found = {}
    for image in data.loadImgs(data.getImgIds()):
        mask = np.zeros((image["height"], image["width"]), np.int32)
        for each in data.loadAnns(data.getAnnIds(image["id"])):
            name = data.loadCats(each["category_id"])[0]["name"]
            pixels = data.annToMask(each).astype(bool)
            assert pixels.sum() == each["area"]
            assert [*np.argwhere(pixels).min(axis=0)[::-1]] == each["bbox"][:2]
            mask[pixels] = classes.index(name) + 1 if name in classes else IGNORE
        found[image["file_name"]] = mask
    return found


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of its own, under newer numpy
@pytest.mark.parametrize("segmentation", ["rle", "polygons"])
def test_its_own_library_draws_the_same_masks(segmentation, parcel):
    assert coco.write(Parcel(parcel.folder, CLASSES, parcel.items, segmentation)) == []
    found = drawn_by_pycocotools(parcel.folder / coco.FILE, CLASSES)
    assert list(found) == ["a__1.jpg", "b_2.jpg", "c.jpg"]
    for number, mask in enumerate(found.values()):
        assert np.array_equal(mask, drawn_mask(number))


def test_parts_are_annotations_and_what_has_no_label_is_a_crowd(parcel):
    coco.write(Parcel(parcel.folder, CLASSES, parcel.items[:1], "polygons"))
    content = json.loads((parcel.folder / coco.FILE).read_text())
    names = {each["id"]: each["name"] for each in content["categories"]}
    assert names == {1: "cat", 2: "big dog", 3: "unlabelled"}
    found = [(names[each["category_id"]], each["area"], each["iscrowd"]) for each in content["annotations"]]
    # the ring of 7 x 8 with a hole of 3 x 4, two single pixels; the island, and two rows but for one pixel
    assert found == [
        *[("cat", 1, 0), ("cat", 44, 0), ("cat", 1, 0)],
        *[("big dog", 1, 0), ("big dog", 31, 0), ("unlabelled", 3, 1)],
    ]


def test_without_unlabelled_pixels_there_is_no_such_category(tmp_path):
    coco.write(
        Parcel(tmp_path, CLASSES, [Item("1", "1", "train", False, None, "1.jpg", lambda: np.eye(3, dtype=np.int32))])
    )
    assert len(json.loads((tmp_path / coco.FILE).read_text())["categories"]) == 2


def written(path, segmentation, **more):
    image = {"id": 1, "file_name": "a.jpg", "height": 2, "width": 3}
    one = {"id": 7, "image_id": 1, "category_id": 1, "segmentation": segmentation} | more
    path.write_text(json.dumps({"images": [image], "categories": [{"id": 1, "name": "cat"}], "annotations": [one]}))
    return path


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([], "annotation 7: it has no outline"),
        ({"size": [2, 3], "counts": [1, 10**30]}, "annotation 7: run lengths"),
        ({"size": [10**9, 10**9], "counts": [10**18]}, "annotation 7: run lengths of size"),
        ({"size": [2, 3], "counts": "\x7f" * 50}, "annotation 7: .*does not belong"),
        ([["a", "b"]], "annotation 7: .*is no polygon"),
    ],
)
def test_an_annotation_that_cannot_be_drawn_is_refused(segmentation, words, tmp_path):
    [arrival] = coco.read(written(tmp_path / "x.json", segmentation), ("cat",)).masks
    with pytest.raises(ValueError, match=words):
        arrival.read((2, 3))


def test_numbers_that_no_image_has_are_refused(tmp_path):
    path = written(tmp_path / "x.json", {"size": [10**30, 1], "counts": [10**30]})
    content = json.loads(path.read_text())
    content["images"][0] |= {"height": 10**30, "width": 1}
    path.write_text(json.dumps(content))
    with pytest.raises((TagmaskError, ValueError), match=r"no image has|its image 2 x 3"):
        coco.read(path, ("cat",)).masks[0].read((2, 3))


def test_smaller_annotations_lie_over_larger_ones(tmp_path):
    path = written(tmp_path / "x.json", [[0, 0, 3, 0, 3, 2, 0, 2]])
    content = json.loads(path.read_text())
    content["categories"].append({"id": 2, "name": "big dog"})
    small = {"id": 8, "image_id": 1, "category_id": 2, "segmentation": [[0, 0, 1, 0, 1, 1, 0, 1]]}
    content["annotations"].insert(0, small)
    path.write_text(json.dumps(content))
    [arrival] = coco.read(path, CLASSES).masks
    assert arrival.read((2, 3)).tolist() == [[2, 1, 1], [1, 1, 1]]
