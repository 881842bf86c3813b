from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from archives import archive
from tagmask.config import BackgroundConfig, ToyData
from tagmask.config.recipes import load_recipe
from tagmask.data.datasets import open_dataset
from tagmask.data.images import read_mask
from tagmask.errors import TagmaskError
from tagmask.scoring.evaluation import scored_training_records
from tagmask.stages.masks.maker import MaskMaker
from tagmask.stages.masks.strength import background_factor, is_to_be_found, read_background
from tagmask.stages.run import Run
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import write_maps

THRESHOLD = BackgroundConfig(rule="threshold", value=0.3)
OUTLINES = BackgroundConfig(rule="threshold", value=0.5, factor="outlines")


@pytest.fixture
def wide(tmp_path):
    """A run whose maps cover the objects and a rim of some pixels around them."""
    scenes = open_dataset(ToyData(num_train=16, num_val=1, size=112), None)
    folder = RunFolder(tmp_path)
    for record in scenes.split("train"):
        classes = [tag + 1 for tag in record.tags]
        truth = scenes.read_mask(record) == np.array(classes, np.int32).reshape(-1, 1, 1)
        maps = [gaussian_filter(each.astype(np.float32), 5.0) ** 0.4 for each in truth]
        write_maps(folder.maps(record.id), archive(classes, np.reshape(maps, (-1, 112, 112)), (112, 112)))
    return Run(load_recipe("toy", ["masks.workers=0"]), folder, scenes, None)


def with_background(run, config):
    masks = run.recipe.masks.model_copy(update={"background": config, "crf": None})
    return replace(run, recipe=run.recipe.model_copy(update={"masks": masks}))


def made(run, factor):
    maker = MaskMaker(run.folder, run.dataset, run.recipe.masks, None, 8, factor)
    tagged = [record for record in run.dataset.split("train") if record.tags]
    found = []
    for record in tagged:
        run.folder.mask(record.id).unlink(missing_ok=True)
        maker(record)
        found.append((read_mask(run.folder.mask(record.id), 255) == run.dataset.read_mask(record)).mean())
    return np.mean(found)


def test_outlines_tell_without_a_mask_how_strong_the_background_should_be(wide, monkeypatch):
    run = with_background(wide, OUTLINES)
    maker = MaskMaker(run.folder, run.dataset, run.recipe.masks, None, 8)
    assert is_to_be_found(run)
    with monkeypatch.context() as patched:
        patched.setattr(type(run.dataset), "read_mask", lambda *_: pytest.fail("a mask was read"))
        factor = background_factor(run, maker)
        assert background_factor(run, replace(maker, run=RunFolder(run.folder.path / "none"))) == factor  # kept
    assert not is_to_be_found(run)
    assert 1 < factor < 2
    assert made(run, factor) > made(run, 1.0) + 0.02


def test_a_few_masks_choose_the_factor_and_others_judge_it(wide):
    run = with_background(wide, OUTLINES.model_copy(update={"factor": "masks", "masks_for_choosing": 8}))
    maker = MaskMaker(run.folder, run.dataset, run.recipe.masks, None, 8)
    factor = background_factor(run, maker)
    found = read_background(run)
    assert (len(found.chosen_on), len(found.judged_on)) == (4, 4)
    assert not set(found.chosen_on) & set(found.judged_on)
    assert found.between[0] < found.mean_iou < found.between[1]
    assert found.mean_iou > found.mean_iou_of_one + 0.02
    assert made(run, factor) > made(run, 1.0) + 0.02
    assert "it is the best on 4 masks; on 4 others" in found.reason
    scored = {record.id for record in scored_training_records(run)}
    assert not scored & set(found.chosen_on)
    assert len(scored) == 12


def test_too_few_masks_choose_nothing(wide, monkeypatch):
    run = with_background(wide, OUTLINES.model_copy(update={"factor": "masks"}))
    monkeypatch.setattr(Run, "records_with_truth", wide.records_with_truth[:3])
    with pytest.raises(TagmaskError, match=r"3 tagged training image.* have a ground-truth mask; 4 are needed"):
        background_factor(run, MaskMaker(run.folder, run.dataset, run.recipe.masks, None, 8))


def test_a_factor_that_is_set_is_taken(wide):
    run = with_background(wide, OUTLINES.model_copy(update={"factor": 1.5}))
    maker = MaskMaker(run.folder, run.dataset, run.recipe.masks, None, 8)
    assert background_factor(run, maker) == 1.5
    assert background_factor(with_background(wide, THRESHOLD), maker) == 1
    assert not run.folder.background.exists()
    assert not is_to_be_found(run)


def test_what_was_found_and_edited_into_something_else_is_refused(wide):
    run = with_background(wide, OUTLINES)
    run.folder.background.write_text('{"factor": -1}')
    with pytest.raises(TagmaskError, match=r"background\.json does not hold .* delete"):
        background_factor(run, MaskMaker(run.folder, run.dataset, run.recipe.masks, None, 8))
