from collections import Counter

import numpy as np
import pytest

from exchange.conftest import IDS, LEFT_OUT, SIZE, drawn_mask
from tagmask.data.images import write_mask
from tagmask.errors import TagmaskError
from tagmask.exchange.selection import StoredMask, best_kind, plain_file, select, size_of
from tagmask.reviews.store import Review


def kinds(selection):
    return Counter(kind for _, kind in selection.masks)


def test_reviewed_masks_go_before_pseudo_masks_and_rejected_ones_are_left_out(photo_run):
    reviewed, rejected, open_ = (record.id for record in photo_run.training_records[:3])
    photo_run.reviews.write(reviewed, Review(decision="corrected"), drawn_mask(5))
    photo_run.reviews.write(rejected, Review(decision="rejected"))
    photo_run.reviews.write(open_, Review(tags=("cat",)))
    found = select(photo_run, None)
    assert (found.rejected, kinds(found)) == (1, {"reviews": 1, "masks": 4})
    assert [record.id for record, kind in found.masks if kind == "reviews"] == [reviewed]
    assert np.array_equal(StoredMask(photo_run, found.masks[0][0], "reviews")(), drawn_mask(5))
    assert kinds(select(photo_run, "masks")) == {"masks": 6}
    assert kinds(select(photo_run, "reviews")) == {"reviews": 1}


def test_revised_masks_go_before_others(photo_run):
    assert best_kind(photo_run) == "masks"
    with pytest.raises(TagmaskError, match="stage `revise-masks` has not finished"):
        select(photo_run, "revised")
    photo_run.folder.note("revise-masks", done=True)
    first = photo_run.training_records[0]
    write_mask(photo_run.folder.revised(first.id), drawn_mask(3), 255, 2)
    assert kinds(select(photo_run, None)) == {"revised": len(IDS)}
    assert np.array_equal(StoredMask(photo_run, first, "revised")(), drawn_mask(3))


def test_predictions_are_of_validation_images(photo_run):
    [(record, kind)] = select(photo_run, "predictions").masks
    assert (record.id, kind) == (LEFT_OUT, "predictions")
    assert np.array_equal(StoredMask(photo_run, record, kind)(), drawn_mask(0, unlabelled=False))


def test_what_is_not_there_is_refused(photo_run):
    with pytest.raises(TagmaskError, match="has no reviews"):
        select(photo_run, "reviews")
    for record in photo_run.training_records:
        photo_run.reviews.write(record.id, Review(decision="rejected"))
    with pytest.raises(TagmaskError, match="all 6 masks have been rejected"):
        select(photo_run, None)
    for stage in ("make-masks", "predict"):
        photo_run.folder.note(stage, done=False)
    for which in ("masks", "predictions", None):
        with pytest.raises(TagmaskError, match="has not finished"):
            select(photo_run, which)


def test_sizes_are_those_that_the_run_sees(photo_run, tiny_run):
    record = photo_run.training_records[0]
    assert size_of(photo_run, record) == SIZE
    assert plain_file(photo_run, record) == photo_run.dataset.image_path(record)
    drawn = tiny_run.training_records[0]
    assert size_of(tiny_run, drawn) == (48, 48)
    assert plain_file(tiny_run, drawn) is None
