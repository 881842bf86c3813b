import numpy as np
import pytest
from PIL import Image

from archives import NO_CRF, NONE, POWER, THRESHOLD, WHOLE, archive, perfect
from devices import DEVICES
from shared_runs import SIZE
from tagmask.config import (
    LearntLabels,
    MasksConfig,
    WalkConfig,
)
from tagmask.conventions import IGNORE
from tagmask.data.images import read_mask
from tagmask.masks.crf import dispatch
from tagmask.masks.from_archives import scores_with_background
from tagmask.masks.scores import posterior, quality
from tagmask.stages.masks.maker import MaskMaker
from tagmask.stages.masks.quality import read_quality
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import write_maps


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


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
