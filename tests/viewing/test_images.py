import numpy as np
import pytest

from exchange.conftest import IDS, LEFT_OUT, SIZE, drawn_mask
from tagmask.errors import TagmaskError
from tagmask.reviews import Review
from tagmask.viewing.images import masks_of


def test_masks_are_taken_by_place_by_id_and_in_turn(photo_run):
    masks = masks_of(photo_run, None)
    assert len(masks) == len(list(masks)) == len(IDS)
    assert masks.ids == [image.id for image in masks] == [record.id for record in photo_run.training_records]
    assert masks["a b/1"].id == "a b/1"
    assert masks[-1].id == masks.ids[-1]
    assert [image.id for image in masks[1:3]] == masks.ids[1:3]
    assert "a b/1" in masks
    assert "nosuch" not in masks
    with pytest.raises(IndexError):
        masks[len(IDS)]


def test_an_image_brings_photograph_mask_tags_quality_and_decision(photo_run):
    photo_run.folder.quality.write_text("image,quality\n-c/nul,0.25\n1,0.5\n")
    image = masks_of(photo_run, "pseudo")["-c/nul"]
    place = [record.id for record in photo_run.training_records].index("-c/nul")
    assert np.array_equal(image.mask, drawn_mask(place))
    assert image.mask.dtype == np.int32
    assert image.photograph.size == SIZE[::-1]
    assert np.array_equal(np.asarray(image.photograph), photo_run.dataset.read_image(image.stored.record))
    assert (image.tags, image.kind, image.quality, image.decision) == (("big dog", "cat"), "pseudo", 0.25, None)
    assert repr(image) == "'-c/nul': pseudo mask, tags big dog, cat, quality 0.25, not reviewed"
    assert masks_of(photo_run, "pseudo")["a b/1"].quality is None


def test_nothing_is_read_before_it_is_asked_for(photo_run):
    photo_run.folder.mask("1").unlink()
    image = masks_of(photo_run, None)["1"]
    assert image.photograph.size == SIZE[::-1]
    with pytest.raises(TagmaskError, match="no such file"):
        _ = image.mask


def test_kinds_are_those_of_an_export(photo_run):
    first, second = photo_run.training_records[:2]
    photo_run.reviews.write(first.id, Review(decision="corrected", tags=("cat",)), drawn_mask(5))
    photo_run.reviews.write(second.id, Review(decision="rejected"))
    assert repr(masks_of(photo_run, None)) == "5 masks: 1 reviewed, 4 pseudo; 1 rejected are left out"
    assert masks_of(photo_run, "pseudo")[second.id].decision == "rejected"
    reviewed = masks_of(photo_run, "reviewed")[0]
    assert (reviewed.id, reviewed.decision, reviewed.kind) == (first.id, "corrected", "reviewed")
    assert np.array_equal(reviewed.mask, drawn_mask(5))
    assert masks_of(photo_run, "predicted").ids == [LEFT_OUT]


@pytest.mark.parametrize("wanted", ["A b/2", LEFT_OUT])
def test_an_id_that_is_not_there_is_refused_with_near_ones(photo_run, wanted):
    with pytest.raises(TagmaskError, match=r"no image .* among these 6 masks; there are '.*masks\('predicted'\)"):
        masks_of(photo_run, None)[wanted]


def test_a_kind_that_is_not_there_is_refused(photo_run):
    with pytest.raises(TagmaskError, match="has no reviews"):
        masks_of(photo_run, "reviewed")


def test_pictures_of_masks(photo_run):
    masks = masks_of(photo_run, None)
    assert masks._repr_html_().count("data:image/jpeg;base64,") == len(IDS)
    title = masks[0].show().title
    assert title == f"{masks[0].id}, pseudo mask"
    assert masks[0]._repr_png_() == masks[0].overlay()._repr_png_()
    assert title in masks[0]._repr_html_()
