from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from archives import WHOLE, archive, perfect
from conftest import SIZE
from devices import DEVICES
from tagmask.config import (
    BackgroundConfig,
    CrfConfig,
    LearntLabels,
    MasksConfig,
    ToyData,
    WalkConfig,
)
from tagmask.config.recipes import load_recipe
from tagmask.conventions import IGNORE
from tagmask.data.datasets import open_dataset
from tagmask.data.images import read_mask
from tagmask.errors import TagmaskError
from tagmask.masks.crf import dispatch
from tagmask.masks.from_archives import scores_with_background
from tagmask.masks.scores import posterior, quality
from tagmask.scoring.evaluation import scored_training_records
from tagmask.stages.masks import MaskMaker, background_factor, read_background, read_quality
from tagmask.stages.run import Run
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import write_maps

POWER = BackgroundConfig(rule="power", value=2)
THRESHOLD = BackgroundConfig(rule="threshold", value=0.3)
NONE = BackgroundConfig(rule="none")
NO_CRF = CrfConfig(iterations=0, unary="hard")


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def record(scenes):
    """A scene with a tag."""
    return next(record for record in scenes.split("train") if record.tags)


def test_perfect_maps_make_perfect_masks(scenes, run, record):
    write_maps(run.maps(record.id), perfect(scenes, record))
    MaskMaker(run, scenes, MasksConfig(background=THRESHOLD, crf=None), None, 8)(record)
    np.testing.assert_array_equal(read_mask(run.mask(record.id), 255), scenes.read_mask(record))
    with Image.open(run.mask(record.id)) as image:
        assert image.mode == "P"


def test_confidence_is_the_posterior_and_carries_the_quality(scenes, run, record):
    maps = np.linspace(0, 1, SIZE**2).reshape(1, *WHOLE).repeat(len(record.tags), 0)
    maps[1:] *= 0.5
    stored = archive([tag + 1 for tag in record.tags], maps)
    write_maps(run.maps(record.id), stored)
    MaskMaker(run, scenes, MasksConfig(background=POWER, crf=None), None, 8)(record)
    scores, classes = scores_with_background(archive(stored.classes, stored.maps.astype(np.float16)), WHOLE, POWER)
    with Image.open(run.confidence(record.id)) as image:
        confidence = np.asarray(image)
    np.testing.assert_array_equal(confidence, (posterior(scores).max(0) * 255).round().astype(np.uint8))
    assert read_quality(run.confidence(record.id)) == pytest.approx(quality(scores, classes), abs=1e-6)


def test_unsure_pixels_become_the_ignore_value(scenes, run, record):
    write_maps(run.maps(record.id), archive([record.tags[0] + 1], np.linspace(0, 1, SIZE)[None, None].repeat(SIZE, 1)))
    config = MasksConfig(background=THRESHOLD, crf=None, ignore_below=0.6, ignore_value=200)
    MaskMaker(run, scenes, config, None, 8)(record)
    with Image.open(run.mask(record.id)) as image:
        assert set(np.unique(np.asarray(image))) == {0, record.tags[0] + 1, 200}
    mask = read_mask(run.mask(record.id), 200)
    x = np.linspace(0, 1, SIZE)  # the share of the background is 0.6 at x = 0.2, that of the class at x = 0.45
    np.testing.assert_array_equal(mask[0] == IGNORE, (x > 0.2) & (x < 0.45))


@pytest.mark.parametrize("rule", [POWER, THRESHOLD, NONE])
def test_negatives_have_masks_too(scenes, run, record, rule):
    write_maps(run.maps(record.id), archive([], np.zeros((0, *WHOLE))))
    MaskMaker(run, scenes, MasksConfig(background=rule), None, 8)(record)
    expected = IGNORE if rule.rule == "none" else 0
    assert (read_mask(run.mask(record.id), 255) == expected).all()
    assert 0 <= read_quality(run.confidence(record.id)) <= 1


def test_the_crf_follows_the_image(scenes, run, record):
    write_maps(run.maps(record.id), perfect(scenes, record))
    for preset, path in ((None, "plain"), ("psa", "refined")):
        folder = RunFolder(run.path / path)
        write_maps(folder.maps(record.id), perfect(scenes, record))
        MaskMaker(folder, scenes, MasksConfig(background=THRESHOLD, crf=preset), None, 8)(record)
    masks = [read_mask(RunFolder(run.path / path).mask(record.id), 255) for path in ("plain", "refined")]
    assert 0 < (masks[0] != masks[1]).mean() < 0.2


@pytest.mark.parametrize("device", DEVICES)
def test_masks_are_the_same_from_a_device(scenes, run, tmp_path, record, device, monkeypatch):
    monkeypatch.setattr(dispatch, "computes_on", lambda name: name == device)  # tensors on the processor, too
    there = RunFolder(tmp_path / "there")
    for folder, place in ((run, "none"), (there, device)):
        write_maps(folder.maps(record.id), perfect(scenes, record))
        MaskMaker(folder, scenes, MasksConfig(background=THRESHOLD), None, 8, device=place)(record)
    np.testing.assert_array_equal(read_mask(there.mask(record.id), 255), read_mask(run.mask(record.id), 255))
    assert read_quality(there.confidence(record.id)) == pytest.approx(read_quality(run.confidence(record.id)), abs=1e-4)


def test_walks_are_read_where_there_was_a_walk(scenes, run, record):
    grid = np.zeros((2, 6, 6), np.float32)
    grid[0, :, :3] = grid[1, :, 3:] = 1
    write_maps(run.walks(record.id), archive([0, 2], grid))
    MaskMaker(run, scenes, MasksConfig(background=POWER, crf=None), WalkConfig(), 8)(record)
    mask = read_mask(run.mask(record.id), 255)
    assert ((mask == 2) == (np.arange(SIZE) >= SIZE // 2)).all()


def test_confident_masks_are_pseudo_masks_with_undecided_pixels(scenes, run, record):
    half = perfect(scenes, record)
    maps = np.concatenate([np.full((1, *WHOLE), 0.5), half.maps * np.float32(0.4)])
    maps[:, : SIZE // 2] = np.concatenate([np.full((1, *WHOLE), 0.5), half.maps])[:, : SIZE // 2]
    write_maps(run.maps(record.id), archive([0, *half.classes], maps))
    config = MasksConfig(confident=LearntLabels(crf=NO_CRF), ignore_value=200)
    MaskMaker(run, scenes, config, None, 8)(record)
    truth = scenes.read_mask(record)
    truth[SIZE // 2 :][truth[SIZE // 2 :] > 0] = IGNORE  # 0.25 < 0.4 < 0.5
    np.testing.assert_array_equal(read_mask(run.mask(record.id), 200), truth)
    assert 0 <= read_quality(run.confidence(record.id)) <= 1


# ── how strong the background is ─────────────────────────────────────────────────────────────────────────────────────


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
    with monkeypatch.context() as patched:
        patched.setattr(type(run.dataset), "read_mask", lambda *_: pytest.fail("a mask was read"))
        factor = background_factor(run, maker)
        assert background_factor(run, replace(maker, run=RunFolder(run.folder.path / "none"))) == factor  # kept
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


def test_what_was_found_and_edited_into_something_else_is_refused(wide):
    run = with_background(wide, OUTLINES)
    run.folder.background.write_text('{"factor": -1}')
    with pytest.raises(TagmaskError, match=r"background\.json does not hold .* delete"):
        background_factor(run, MaskMaker(run.folder, run.dataset, run.recipe.masks, None, 8))
