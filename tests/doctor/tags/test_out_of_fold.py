import numpy as np
import pytest

from doctor.invented import dataset
from tagmask.config import Resnet38dBackbone, TimmBackbone
from tagmask.contracts import Normalization
from tagmask.doctor.tags import out_of_fold
from tagmask.doctor.tags.out_of_fold import FEWEST, FOLDS, check_backbone, deal, features_of, judge
from tagmask.errors import TagmaskError
from tagmask.testing import tiny_backbone


def clusters(number: int):
    """Points around two corners, tagged by the corner; a third tag is on one of them alone."""
    random = np.random.default_rng(0)
    side = np.arange(number) % 2 == 0
    features = np.where(side[:, None], 1.0, -1.0) + random.normal(0, 0.3, (number, 4))
    rare = np.arange(number) == 0
    return features.astype(np.float32), np.stack([side, ~side, rare], axis=1)


def test_tags_that_can_be_learned_are_likely_and_wrong_ones_are_not():
    features, tags = clusters(100)
    given = tags.copy()
    given[4] = [False, True, False]
    found = judge(features, given, np.arange(100))
    assert found.judged.tolist() == [True, True, False]
    right = tags[:, 0]
    assert found.probabilities[right, 0].min() > 0.6
    assert found.probabilities[~right, 0].max() < 0.4
    assert found.probabilities[4, 1] < 0.4  # it has not learned from its own wrong tag


def test_an_image_is_not_judged_by_a_copy_of_itself():
    random = np.random.default_rng(1)
    features = random.normal(0, 1, (60, 200)).astype(np.float32)
    features[30:] = features[:30]  # every picture twice, with tags of pure chance
    tags = np.tile(random.random((30, 1)) < 0.5, (2, 1))
    apart, together = (judge(features, tags, groups).probabilities for groups in (np.arange(60), np.arange(60) % 30))
    sure = [np.where(tags, found, 1 - found).mean() for found in (apart, together)]
    assert sure[0] > 0.7  # copies give the tags away
    assert sure[1] < 0.6


def test_folds_are_even_and_keep_groups_together():
    folds = deal(np.arange(100))
    assert np.bincount(folds).tolist() == [20] * FOLDS
    assert (folds == deal(np.arange(100))).all()
    pairs = deal(np.repeat(np.arange(50), 2))
    assert (pairs[::2] == pairs[1::2]).all()


def test_too_few_images_are_not_judged():
    features, tags = clusters(2 * FEWEST)
    assert judge(features, tags, np.arange(2 * FEWEST)).judged.tolist() == [True, True, False]
    assert not judge(features[:-2], tags[:-2], np.arange(2 * FEWEST - 2)).judged.any()
    assert judge(features[:1], tags[:1], np.arange(1)).probabilities.shape == (1, 3)


def test_every_image_becomes_one_vector(monkeypatch):
    backbone = tiny_backbone()
    monkeypatch.setattr(out_of_fold, "check_weights", lambda _: None)
    monkeypatch.setattr(out_of_fold, "build_backbone", lambda _: backbone)
    monkeypatch.setattr(out_of_fold, "BATCH", 2)
    data = dataset(["cat"], [(0,), (), (0,)])
    found = features_of(data, data.records, TimmBackbone(model="test_resnet"), workers=0)
    assert found.shape == (3, backbone.channels)
    again = features_of(data, data.records[2:], TimmBackbone(model="test_resnet"), workers=0)
    assert again[0] == pytest.approx(found[2], abs=1e-5)
    assert isinstance(backbone.normalization, Normalization)


def test_a_backbone_that_knows_nothing_is_no_judge(tmp_path):
    with pytest.raises(TagmaskError, match=r"random numbers.*--recipe folder-cpu"):
        check_backbone(TimmBackbone(model="test_resnet", weights="none"))
    with pytest.raises(TagmaskError, match="no weights file"):
        check_backbone(Resnet38dBackbone(weights=str(tmp_path / "gone.params")))
