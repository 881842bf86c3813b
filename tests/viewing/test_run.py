import json

import numpy as np
import pytest
from PIL import Image

import tagmask
from exchange.conftest import drawn_mask
from tagmask.errors import TagmaskError
from tagmask.masks.overlays import overlay_mask
from tagmask.reviews import Review
from typed import contents

SCORES = {
    "mask": {"mean_iou": 0.5, "protocol": "pseudo mask on <b>scenes</b>.", "iou": {"background": 0.5}},
    "tags": {"mean_average_precision": 0.25, "protocol": "classifier on scenes."},
}


def test_a_run_says_what_it_is(tiny_run):
    run = tagmask.Run(tiny_run.folder.path)
    first, stages, scores = repr(run).splitlines()
    assert "recipe toy on drawn scenes" in first
    assert "4 training and 2 validation images" in first
    assert stages.startswith(
        "stages done: train-method, make-maps, train-affinity, make-masks, train-segmenter, predict"
    )
    assert scores == "scores: none"
    assert run.classes == tiny_run.dataset.classes
    page = run._repr_html_()
    assert "Nothing has been scored." in page
    assert page.count("data:image/jpeg;base64,") == 4


def test_scores_are_shown_in_percent_with_their_protocol(run_copy):
    run_copy.folder.scores.write_text(json.dumps(SCORES))
    run = tagmask.Run(str(run_copy.folder.path))
    assert run.scores() == SCORES
    assert repr(run).endswith("scores: classifier 25.0 %; pseudo masks 50.0 %")
    assert "<td>50.0</td>" in run._repr_html_()
    assert "on &lt;b&gt;scenes" in run._repr_html_()


def test_looking_changes_nothing_and_keeps_nobody_out(photo_run):
    before = contents(photo_run.folder.path)
    run = tagmask.Run(photo_run.folder.path)
    run._repr_html_()
    run.show(0)
    assert [image.mask.shape for image in run.masks()] == [(12, 16)] * 6
    assert contents(photo_run.folder.path) == before


def test_a_run_that_has_just_begun_is_shown_too(photo_run):
    photo_run.folder.note("make-masks", done=False)
    run = tagmask.Run(photo_run.folder.path)
    assert run.stages_done == ("predict",)
    assert run.quality() == {}
    assert "stage `make-masks` has not finished" in run._repr_html_().replace("&#39;", "'")
    with pytest.raises(TagmaskError, match="no trained segmenter"):
        run.predict(np.zeros((8, 8, 3), np.uint8))


def test_without_its_photographs_a_run_still_says_what_it_is(photo_run, tmp_path):
    data = photo_run.data
    data.rename(tmp_path / "moved")
    run = tagmask.Run(photo_run.folder.path)
    assert run.classes == ("big dog", "cat")
    assert "says where they are" in run._repr_html_()
    assert len(tagmask.Run(photo_run.folder.path, data=tmp_path / "moved").masks()) == 6


def test_reviews_are_seen_as_they_are_written(photo_run):
    run = tagmask.Run(photo_run.folder.path)
    image = run.masks()[0]
    run.reviews.write(image.id, Review(decision="corrected", tags=("cat",)), drawn_mask(5))
    again = run.masks()[0]
    assert (again.kind, again.decision, again.tags) == ("reviewed", "corrected", ("cat",))
    assert np.array_equal(again.mask, drawn_mask(5))


def test_qualities_come_worst_first(tiny_run):
    qualities = tagmask.Run(tiny_run.folder.path).quality()
    assert len(qualities) == 4
    assert list(qualities.values()) == sorted(qualities.values())


def test_new_photographs_come_as_path_array_or_pillow_image(tiny_run, tmp_path):
    pixels = tiny_run.dataset.read_image(tiny_run.validation_records[0])
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    run = tagmask.Run(tiny_run.folder.path)
    mask = run.predict(pixels)
    assert run.model() is run.model()
    assert mask.dtype == np.int32
    assert mask.shape == pixels.shape[:2]
    for same in (Image.fromarray(pixels), Image.fromarray(pixels).convert("RGBA"), tmp_path / "photo.png"):
        assert np.array_equal(run.predict(same), mask)
        assert np.array_equal(np.asarray(run.overlay(same, mask).image), overlay_mask(pixels, mask))
    indexed = Image.fromarray(mask.astype(np.uint8))
    assert run.overlay(tmp_path / "photo.png", indexed).image == run.overlay(pixels, mask).image
    assert np.array_equal(tagmask.load(run.folder.path)(str(tmp_path / "photo.png")), mask)
    assert np.array_equal(run.masks("predicted")[0].mask, mask)


def test_masks_become_detections(photo_run):
    pytest.importorskip("supervision", reason="supervision is not installed")
    run = tagmask.Run(photo_run.folder.path)
    found = run.masks()[0].to_detections()
    assert set(found.data["class_name"]) == {"cat", "big dog"}
    assert run.to_detections(run.masks()[0].mask).xyxy.tolist() == found.xyxy.tolist()
