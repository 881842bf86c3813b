import numpy as np
import pytest

from archives import NO_CRF, WHOLE, archive, perfect
from devices import DEVICES
from shared_runs import tiny_recipe
from tagmask.config import LearntLabels, PowerLabels, ThresholdLabels
from tagmask.conventions import IGNORE
from tagmask.data.images import read_mask
from tagmask.masks.confident_labels import confident_labels
from tagmask.masks.crf import dispatch, mean_field
from tagmask.masks.from_archives import confident_mask
from tagmask.masks.scores import add_background
from tagmask.reviews.store import Review
from tagmask.stages.affinity import AffinityLabelMaker, label_ignore_value
from tagmask.stages.run import Run
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import read_posteriors, write_maps


@pytest.fixture
def run(tmp_path, scenes):
    return Run(tiny_recipe(), RunFolder(tmp_path), scenes, None)


@pytest.mark.parametrize("learnt", [False, True])
def test_affinity_labels_are_posteriors_under_both_powers(scenes, run, record, learnt):
    stored = perfect(scenes, record)
    maps = stored.maps * np.float32(0.7)
    classes = stored.classes
    if learnt:  # its background makes way for the two powers
        maps, classes = np.concatenate([maps[:1], maps]), np.concatenate([[0], classes]).astype(np.int16)
    write_maps(run.folder.maps(record.id), archive(classes, maps))
    config = tiny_recipe("affinity.labels.crf.iterations=0").affinity.labels
    AffinityLabelMaker(run, config)(record)
    posteriors, found = read_posteriors(run.folder.affinity_labels(record.id, "powers"))
    assert found.tolist() == stored.classes.tolist()
    half = (stored.maps * np.float32(0.7)).astype(np.float16).astype(np.float32)
    for name, power in (("low", config.low), ("high", config.high)):
        scores = add_background(half, power).clip(1e-5, 1)
        np.testing.assert_allclose(posteriors[name], scores / scores.sum(axis=0), atol=1e-3)


def test_both_powers_share_one_lattice(scenes, run, record, monkeypatch):
    built = []
    original = mean_field.gaussian_filter
    monkeypatch.setattr(mean_field, "gaussian_filter", lambda *a, **k: built.append(1) or original(*a, **k))
    write_maps(run.folder.maps(record.id), perfect(scenes, record))
    AffinityLabelMaker(run, tiny_recipe().affinity.labels)(record)
    assert len(built) == 2  # one Gaussian, one bilateral


@pytest.mark.parametrize("device", DEVICES)
def test_labels_are_the_same_from_a_device(scenes, run, record, device, monkeypatch):
    monkeypatch.setattr(dispatch, "computes_on", lambda name: name == device)  # tensors on the processor, too
    write_maps(run.folder.maps(record.id), perfect(scenes, record))
    path, found = run.folder.affinity_labels(record.id, "powers"), []
    for place in ("none", device):
        AffinityLabelMaker(run, tiny_recipe().affinity.labels, place)(record)
        found.append(read_posteriors(path)[0])
    for name in ("low", "high"):
        np.testing.assert_allclose(found[1][name], found[0][name], atol=1e-3)  # half precision in the file


@pytest.mark.parametrize("kind", ["thresholds", "learnt"])
def test_labels_per_pixel_are_written_as_an_indexed_image(scenes, run, record, kind):
    stored, config = perfect(scenes, record), ThresholdLabels(crf=NO_CRF)
    if kind == "learnt":
        config, maps = LearntLabels(crf=NO_CRF), np.concatenate([np.full((1, *WHOLE), 0.5, np.float32), stored.maps])
        stored = archive([0, *stored.classes], maps)
    write_maps(run.folder.maps(record.id), stored)
    AffinityLabelMaker(run, config)(record)
    path = run.folder.affinity_labels(record.id, kind)
    assert path.suffix == ".png"
    found = read_mask(path, label_ignore_value(len(scenes.classes)))
    np.testing.assert_array_equal(found, confident_mask(scenes.read_image(record), stored, config))
    np.testing.assert_array_equal(found, scenes.read_mask(record))  # perfect maps leave nothing undecided


@pytest.mark.parametrize("kind", ["powers", "thresholds"])
def test_a_drawn_mask_is_confident_everywhere_it_has_a_label(scenes, run, record, kind):
    drawn = np.zeros(WHOLE, np.int32)
    drawn[10:20, 10:20], drawn[:4] = record.tags[0] + 1, IGNORE
    run.reviews.write(record.id, Review(decision="corrected"), drawn)
    AffinityLabelMaker(run, PowerLabels() if kind == "powers" else ThresholdLabels())(record)  # no maps are needed
    path = run.folder.affinity_labels(record.id, kind)
    if kind == "powers":
        posteriors, classes = read_posteriors(path)
        assert classes.tolist() == [record.tags[0] + 1]
        expected = np.where(drawn == record.tags[0] + 1, 1, drawn)
        np.testing.assert_array_equal(confident_labels(posteriors["low"], posteriors["high"], pool=1), expected)
    else:
        np.testing.assert_array_equal(read_mask(path, label_ignore_value(len(scenes.classes))), drawn)


@pytest.mark.parametrize(("classes", "expected"), [(4, 255), (254, 255), (300, 65535)])
def test_no_label_is_a_number_no_class_has(classes, expected):
    assert label_ignore_value(classes) == expected
