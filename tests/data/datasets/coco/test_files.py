import json
import math
import re
from pathlib import Path

import pytest

from data.datasets.coco_content import SQUARE, content, write
from tagmask.data.datasets.coco.files import Instances, read_instances
from tagmask.errors import TagmaskError


def read(folder: Path, value: object) -> Instances:
    return read_instances(write(folder / "a.json", value))


def changed(entry: str, place: int = 0, **values: object) -> dict:
    found = content()
    found[entry][place] |= values
    return found


def without(entry: str, *keys: str) -> dict:
    found = content()
    for each in found[entry]:
        for key in keys:
            each.pop(key, None)
    return found


def first(instances: Instances):
    return instances.outlines["0"][0]


def test_a_plain_file(tmp_path):
    found = read(tmp_path, content())
    assert found.names == ("cat", "dog")
    assert [picture.file_name for picture in found.pictures] == ["p0.jpg", "p1.jpg", "p2.jpg", "p3.jpg"]
    assert found.pictures[0].size == (8, 10)
    assert [outlines[0].place for outlines in found.outlines.values()] == [0, 1, 0, 1]
    assert (found.has_outlines, found.notes) == (True, ())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding_of_json_is_read(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes(json.dumps(content()).encode(encoding))
    assert read_instances(tmp_path / "a.json").names == ("cat", "dog")


# ── ids and names ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [str, float, lambda number: f" {number} "], ids=["text", "float", "blanks"])
def test_ids_may_be_written_otherwise_in_annotations(tmp_path, kind):
    given = content()
    for entry in given["annotations"]:
        entry["image_id"], entry["category_id"] = kind(entry["image_id"]), kind(entry["category_id"])
    assert [len(outlines) for outlines in read(tmp_path, given).outlines.values()] == [1, 1, 1, 1]


def test_ids_may_be_words_and_classes_then_keep_the_order_of_the_file(tmp_path):
    given = content()
    given["categories"] = [{"id": "zz", "name": "dog"}, {"id": "aa", "name": "cat"}]
    for entry in given["annotations"]:
        entry["category_id"] = "zz"
    assert read(tmp_path, given).names == ("dog", "cat")


def test_classes_are_in_the_order_of_their_numbers_also_where_they_are_text(tmp_path):
    given = content()
    given["categories"] = [{"id": "10", "name": "ten"}, {"id": "9", "name": "nine"}]
    given["annotations"] = []
    assert read(tmp_path, given).names == ("nine", "ten")


def test_blanks_around_category_names_are_left_out_and_said(tmp_path):
    found = read(tmp_path, changed("categories", name=" cat "))
    assert found.names == ("cat", "dog")
    assert "' cat '" in found.notes[0]


def test_categories_that_differ_in_case_are_pointed_out(tmp_path):
    found = read(tmp_path, changed("categories", name="Dog"))
    assert found.names == ("Dog", "dog")
    assert "differ only in case" in found.notes[0]


def test_an_image_that_is_listed_twice_is_taken_once(tmp_path):
    given = content()
    given["images"].append(given["images"][0])
    found = read(tmp_path, given)
    assert len(found.pictures) == 4
    assert "lists 1 images twice" in found.notes[0]


# ── what cannot be understood ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1], "holds a list"),
        ({"images": [], "categories": []}, "no 'annotations'.*found: images, categories"),
        (content() | {"annotations": None}, "'annotations' is no list"),
        (content() | {"images": [3]}, "'images' is no list of objects"),
        (changed("categories", name=""), "no id or no name"),
        (changed("categories", id=None), "no id or no name"),
        (changed("categories", id=2), "category id 2 to 'cat' and to 'dog'"),
        (changed("categories", name="dog"), "repeated: dog"),
        (changed("images", id=1), r"image id 1 to p0.jpg and to p1.jpg"),
        (changed("images", id=None), "entry 0 of its images has no id"),
        (changed("annotations", category_id=9), r"category_id 9 \(1 annotations\); its categories are 1 cat, 2 dog"),
        (changed("annotations", category_id=None), "category_id None"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_words(tmp_path, given, words):
    with pytest.raises(TagmaskError, match=words) as raised:
        read(tmp_path, given)
    assert "a.json" in str(raised.value)
    assert "fetch it again" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "<html>", "[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(TagmaskError, match=r"cannot read the annotations .*a\.json"):
        read_instances(tmp_path / "a.json")
    with pytest.raises(TagmaskError, match=r"cannot read the annotations .*b\.json"):
        read_instances(tmp_path / "b.json")


def test_annotations_of_removed_images_are_left_out_and_counted(tmp_path):
    found = read(tmp_path, changed("annotations", image_id=77))
    assert [len(outlines) for outlines in found.outlines.values()] == [0, 1, 1, 1]
    assert "1 annotations of a.json belong to images that it does not list (image_id 77)" in found.notes[0]


def test_annotations_that_all_belong_elsewhere_are_refused(tmp_path):
    given = content()
    for entry in given["annotations"]:
        entry["image_id"] += 1000
    with pytest.raises(TagmaskError, match=r"none of the 4 annotations .*1000, 1001"):
        read(tmp_path, given)


# ── outlines ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("area", [None, 0, -3, "big", math.nan, True])
def test_an_area_that_is_missing_or_no_number_is_computed(tmp_path, area):
    assert first(read(tmp_path, changed("annotations", area=area))).area == 16
    runs = {"size": [8, 10], "counts": [0, 8, 72]}
    assert first(read(tmp_path, changed("annotations", area=area, segmentation=runs))).area == 8


def test_an_area_that_is_written_counts(tmp_path):
    assert first(read(tmp_path, changed("annotations", area=3.5))).area == 3.5


@pytest.mark.parametrize(("written", "is_crowd"), [(1, True), (True, True), ("1", True), ("0", False), (None, False)])
def test_crowds_may_be_marked_in_several_ways(tmp_path, written, is_crowd):
    assert first(read(tmp_path, changed("annotations", iscrowd=written))).is_crowd == is_crowd


def test_boxes_alone_are_said_to_give_no_masks(tmp_path):
    found = read(tmp_path, without("annotations", "segmentation", "area"))
    assert not found.has_outlines
    assert [note for note in found.notes if "no masks to score on" in note] == list(found.notes)


@pytest.mark.parametrize("region", [None, [], [[]], [[1, 1, 5, 5]], {}])
def test_an_annotation_without_an_outline_is_said_to_keep_its_image_from_being_scored(tmp_path, region):
    found = read(tmp_path, changed("annotations", segmentation=region))
    assert found.has_outlines
    assert first(found).parts is None
    assert "(id 100)" in found.notes[0]
    assert "1 images of a.json" in found.notes[1]


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ([[1, math.nan, 5, 1, 5, 5]], "NaN or infinite"),
        ([[1, 1, 5, 1, 5]], "5 numbers"),
        ({"size": [10, 8], "counts": [80]}, r"size \[10, 8\]; expected run lengths of size \[8, 10\]"),
        ({"size": [8, 10], "counts": [3]}, "do not cover 8 x 10 = 80"),
        ({"size": [8, 10], "counts": "~~"}, "does not belong"),
        ([[500, 500, 600, 500, 600, 600]], "outside of the image of 8 x 10"),
        ("1 1 5 5", "no region"),
    ],
)
def test_an_outline_that_cannot_be_drawn_is_named_and_its_tag_stays(tmp_path, region, words):
    found = read(tmp_path, changed("annotations", segmentation=region))
    outline = first(found)
    assert (outline.place, outline.parts) == (0, None)
    assert "id 100" in found.notes[0]
    assert re.search(words, found.notes[0])


def test_shares_of_the_image_in_place_of_pixels_are_noticed(tmp_path):
    given = content()
    for entry in given["annotations"]:
        entry["segmentation"] = [[number / 10 for number in SQUARE[0]]]
    found = read(tmp_path, given)
    assert not found.has_outlines
    assert "expected pixels" in found.notes[0]


@pytest.mark.parametrize("size", [{"height": "8", "width": "10"}, {"height": 8.0, "width": 10.0}])
def test_sizes_may_be_text(tmp_path, size):
    assert read(tmp_path, changed("images", **size)).pictures[0].size == (8, 10)


@pytest.mark.parametrize("size", [{"height": 0}, {"width": -1}, {"height": None}, {"width": "wide"}])
def test_sizes_that_are_none_are_unknown(tmp_path, size):
    found = read(tmp_path, changed("images", **size))
    assert found.pictures[0].size is None
    assert first(found).parts is not None


def test_run_lengths_bring_their_size_along(tmp_path):
    given = changed("annotations", segmentation={"size": [8, 10], "counts": [40, 40]})
    given["images"] = [{"id": entry["id"], "file_name": entry["file_name"]} for entry in given["images"]]
    assert first(read(tmp_path, given)).parts is not None


@pytest.mark.parametrize("name", [None, 5, " "])
def test_an_image_without_a_file_name_is_known_as_such(tmp_path, name):
    assert read(tmp_path, changed("images", file_name=name)).pictures[0].file_name is None
