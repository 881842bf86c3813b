import numpy as np
import pytest
from PIL import Image

from tagmask.data.images import read_mask, write_mask
from tagmask.errors import TagmaskError
from tagmask.stages.masks import make_masks, read_quality
from tagmask.stages.results import (
    mask_shares,
    read_predicted_tags,
    read_prediction,
    read_pseudo_mask,
    read_ranking,
)
from tagmask.stages.segmenter import train_segmenter


@pytest.fixture
def first(run_copy):
    return run_copy.training_records[0]


def size_of(run, record):
    return run.dataset.read_image(record).shape[:2]


def test_masks_are_read_with_their_unlabelled_pixels(run_copy, first):
    size = size_of(run_copy, first)
    mask = np.zeros(size, np.int32)
    mask[0], mask[1] = -1, 2
    write_mask(run_copy.folder.mask(first.id), mask, None, len(run_copy.dataset.classes))
    assert (read_pseudo_mask(run_copy, first, size) == mask).all()
    seen = run_copy.validation_records[0]
    assert read_prediction(run_copy, seen, size_of(run_copy, seen)).shape == size_of(run_copy, seen)
    shares = mask_shares(run_copy, run_copy.training_records)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert shares[0, 2] == pytest.approx(1 / (size[0] - 1))


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        (np.zeros((7, 9), np.uint8), "7 x 9 rows x columns and its image 48 x 48"),
        (np.full((48, 48), 200, np.uint8), r"holds 200; expected 0 for background, 1 to 4 .* 255 for no label"),
        (np.zeros((48, 48, 3), np.uint8), "colours"),
    ],
)
def test_a_mask_that_was_edited_wrongly_is_refused_before_anything_learns_from_it(run_copy, first, edited, message):
    run_copy.folder.forget("train-segmenter")
    Image.fromarray(edited).save(run_copy.folder.mask(first.id))
    with pytest.raises(TagmaskError, match=message):
        train_segmenter(run_copy)
    assert not (run_copy.folder.path / "checkpoints").exists()
    assert not run_copy.folder.is_done("train-segmenter")


def test_a_mask_that_lost_its_confidence_is_not_made_again(run_copy, first, monkeypatch):
    """It may be one that somebody corrected."""
    size = size_of(run_copy, first)
    corrected = np.full(size, 3, np.int32)
    write_mask(run_copy.folder.mask(first.id), corrected, None, len(run_copy.dataset.classes))
    confidence = run_copy.folder.confidence(first.id)
    confidence.unlink()
    make_masks(run_copy)
    assert confidence.exists()
    assert (read_mask(run_copy.folder.mask(first.id), 255) == corrected).all()
    assert read_quality(confidence) >= 0


def test_the_ranking_passes_over_images_that_are_none_of_the_run(run_copy, first):
    run_copy.folder.quality.write_text(f"\ufeffimage,quality\nunknown,0.1\n{first.id},0.5\n")
    assert read_ranking(run_copy) == [(first.id, 0.5)]
    run_copy.folder.quality.unlink()
    assert read_ranking(run_copy) == []


@pytest.mark.parametrize("text", ["image;quality\na;1\n", "image,quality\na,high\n", "image,quality\na\n"])
def test_a_ranking_of_another_form_is_refused(run_copy, text):
    run_copy.folder.quality.write_text(text)
    with pytest.raises(TagmaskError, match=r"quality\.csv .*make-masks"):
        read_ranking(run_copy)


@pytest.mark.parametrize("text", ["[]", "{}", '{"val/00000": {"ring": "much"}}', '{"val/00000": {}}'])
def test_predicted_tags_of_another_form_are_refused(run_copy, text):
    run_copy.folder.predicted_tags.write_text(text)
    with pytest.raises(TagmaskError, match=r"tags\.json .*make-maps"):
        read_predicted_tags(run_copy)
