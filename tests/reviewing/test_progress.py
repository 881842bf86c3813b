from dataclasses import replace

import numpy as np
import pytest

from tagmask.reviewing.images import RunImages
from tagmask.reviewing.progress import Progress, sentences, short
from tagmask.reviews import accuracy as accuracy_module
from tagmask.reviews.accuracy import Accuracy, Estimate
from tagmask.reviews.store import Review

FOUND = Accuracy(40, Estimate(0.92, 0.88, 0.95), Estimate(0.6, 0.5, 0.7))


@pytest.fixture
def progress(run_copy):
    return Progress(RunImages(run_copy))


def accept(progress, record):
    images = progress.images
    images.reviews.write(record.id, Review(decision="accepted"), images.pseudo_mask(record))


def test_images_are_counted_by_decision(progress):
    first, second, third, _ = progress.images.records
    accept(progress, first)
    progress.images.reviews.write(second.id, Review(decision="rejected"))
    progress.images.reviews.write(third.id, Review(tags=()))
    found = progress.report()
    assert {name: found[name] for name in ("accepted", "corrected", "rejected", "left")} == {
        "accepted": 1,
        "corrected": 0,
        "rejected": 1,
        "left": 2,
    }
    assert found["short"] is None
    assert found["sentences"][0].startswith("Accept or correct 5 images")


def test_what_was_corrected_is_an_error_of_the_mask(progress, monkeypatch):
    monkeypatch.setattr(accuracy_module, "FEWEST", 2)
    first, second, third, fourth = progress.images.records
    for record in (first, second, third):
        accept(progress, record)
    pseudo = progress.images.pseudo_mask(fourth)
    mine = pseudo.copy()
    mine[:12] = np.where(pseudo[:12] == 0, 1, 0)  # a quarter of one of four images of 48 rows
    progress.images.reviews.write(fourth.id, Review(decision="corrected"), mine)
    found = progress.report()
    assert found["left"] == 0
    assert "93.8 % of pixels right" in found["short"]
    assert found["sentences"][0].startswith("All images are decided: its pseudo masks are right in 93.8 %")
    progress.images.reviews.write(fourth.id, Review(decision="corrected"), pseudo)
    assert "100.0 % of pixels right" in progress.report()["short"]


def test_a_sample_of_the_least_trusted_is_called_no_sample():
    words = " ".join(sentences(FOUND, None, 0, is_whole=False, rejected=0))
    assert "No figure for the whole run yet" in words
    assert "all 40 images that you accepted or corrected were right in 92.0 % (88.0 to 95.0)" in words
    assert "no random sample" in words
    assert "too narrow" not in words
    few = replace(FOUND, images=29)
    assert "from so few images it is rather too narrow" in " ".join(sentences(few, None, 0, False, 0))
    assert short(FOUND, is_random=False).endswith("no random sample")


def test_a_random_sample_holds_for_the_run():
    words = " ".join(sentences(FOUND, FOUND, 30, is_whole=False, rejected=1))
    assert "The first 30 images of the random order are decided, so this estimate holds for the whole run" in words
    assert "1 rejected image has no right mask" in words
    assert short(FOUND, is_random=True).endswith("estimated for the run")


def test_where_all_is_decided_there_is_one_figure():
    words = sentences(FOUND, FOUND, 40, is_whole=True, rejected=2)
    assert words[0].startswith("All images are decided")
    assert "2 rejected images have" in words[1]
    assert len(words) == 3
