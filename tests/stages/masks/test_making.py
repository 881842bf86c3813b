"""The pass from maps to masks: every image once, and the same masks as those of walks that were written before."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from archives import WHOLE, archive
from tagmask.config.recipes import changed_recipe
from tagmask.contracts import Dataset
from tagmask.data.images import read_mask, write_mask
from tagmask.errors import TagmaskError
from tagmask.stages.affinity import walk_maps
from tagmask.stages.masks import making
from tagmask.stages.masks.making import make_masks
from tagmask.stages.run import Run, trained_affinity_net
from tagmask.system.storage import write_maps

CRF = "masks.crf={gaussian_sxy: 2, bilateral_sxy: 20, bilateral_srgb: 8, iterations: 2}"


@pytest.fixture
def run(run_copy) -> Run:
    """A run that lacks walks and masks."""
    run_copy.folder.forget("make-masks")
    return run_copy


def made(run: Run) -> dict[str, bytes]:
    """Masks, confidence and walks."""
    folder = run.folder
    paths = [
        path(record.id) for record in run.training_records for path in (folder.mask, folder.confidence, folder.walks)
    ]
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in paths if path.exists()}


def changed(run: Run, *settings: str) -> Run:
    return replace(run, recipe=changed_recipe(run.recipe, settings))


@pytest.mark.parametrize("crf", ["masks.crf=null", CRF])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_masks_are_those_of_walks_that_were_written_before(run, crf, workers):
    run = changed(run, crf, f"masks.workers={workers}")
    walk_maps(run, trained_affinity_net(run, run.recipe.affinity), run.recipe.affinity, run.training_records)
    make_masks(run)
    expected = made(run)
    run.folder.forget("make-masks")
    make_masks(run)
    assert made(run) == expected
    assert len(expected) == 3 * len(run.training_records)


@pytest.mark.parametrize("keep", ["all", "maps"])
def test_every_image_is_read_once(run, keep, monkeypatch):
    seen, read = Counter(), type(run.dataset).read_image

    def counted(self: Dataset, record):
        seen[record.id] += 1
        return read(self, record)

    monkeypatch.setattr(type(run.dataset), "read_image", counted)
    make_masks(changed(run, f"masks.keep={keep}", "maps.workers=0"))
    assert seen == Counter(record.id for record in run.training_records)


def test_the_strength_of_the_background_is_found_on_walks_before_the_others_walk(run, monkeypatch):
    first = run.training_records[1]
    for module in ("tagmask.stages.masks.making", "tagmask.stages.masks.strength"):
        monkeypatch.setattr(f"{module}.background_images", lambda _: [first])
    walked, walk = [], making.walked_maps

    def noted(run, net, config, records, *words):
        walked.append(([record.id for record in records], run.folder.background.exists()))
        return walk(run, net, config, records, *words)

    monkeypatch.setattr("tagmask.stages.affinity.walked_maps", noted)
    monkeypatch.setattr(making, "walked_maps", noted)
    make_masks(changed(run, "masks.background.factor=outlines"))
    others = [record.id for record in run.training_records if record is not first]
    assert walked == [([first.id], False), (others, True)]
    assert len(made(run)) == 3 * len(run.training_records)


def test_a_walk_that_is_lost_is_made_again_and_a_corrected_mask_stays(run):
    make_masks(run)
    first = run.training_records[0]
    walk = run.folder.walks(first.id)
    content = walk.read_bytes()
    walk.unlink()
    write_mask(run.folder.mask(first.id), np.ones(WHOLE, np.int32), 255, len(run.dataset.classes))
    make_masks(run)
    assert walk.read_bytes() == content
    assert (read_mask(run.folder.mask(first.id), 255) == 1).all()


@pytest.mark.parametrize("keep", ["all", "maps"])
def test_a_walk_without_numbers_stops_the_stage_and_what_was_made_before_stays(run, keep, monkeypatch):
    last, walk = run.training_records[-1], making.walked_maps

    def diverged(*words):
        for record, image, walked in walk(*words):
            yield record, image, replace(walked, maps=walked.maps * np.float32("nan" if record is last else 1))

    monkeypatch.setattr(making, "walked_maps", diverged)
    write_maps(run.folder.maps(last.id), archive([1], np.ones((1, *WHOLE))))
    with pytest.raises(TagmaskError, match="would hold NaN"):
        make_masks(changed(run, f"masks.keep={keep}"))
    assert not run.folder.is_done("make-masks")
    assert run.folder.mask(run.training_records[0].id).exists()
    assert not any(path(last.id).exists() for path in (run.folder.mask, run.folder.confidence, run.folder.walks))
