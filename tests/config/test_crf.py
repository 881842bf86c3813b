import pytest
from pydantic import ValidationError

from tagmask.config import CRF_PRESETS, Config, Crf, CrfConfig


class Holder(Config):
    crf: Crf | None = None


@pytest.mark.parametrize("name", CRF_PRESETS)
def test_a_preset_is_named_or_spelled_out(name):
    assert Holder(crf=name).crf is CRF_PRESETS[name]
    assert Holder.model_validate(Holder(crf=name).model_dump(mode="json")).crf == CRF_PRESETS[name]


def test_presets_differ():
    assert len({preset.model_dump_json() for preset in CRF_PRESETS.values()}) == len(CRF_PRESETS)


def test_an_unknown_preset_is_told_with_those_that_are_known():
    with pytest.raises(ValidationError, match="unknown CRF preset 'pas'; known: psa, irn, deeplab, seam-seg"):
        Holder(crf="pas")


def test_no_crf_is_no_crf():
    assert Holder(crf=None).crf is None


def test_single_settings_start_from_the_defaults_not_from_a_preset():
    assert Holder(crf={"iterations": 3}).crf == CrfConfig(iterations=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gaussian_sxy": 0},
        {"bilateral_sxy": -1},
        {"bilateral_srgb": 0},
        {"gaussian_weight": -0.1},
        {"bilateral_weight": -1},
        {"iterations": -1},
        {"gt_prob": 0},
        {"gt_prob": 1},
        {"num_labels": 1},
        {"unary": "medium"},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CrfConfig(**wrong)


def test_kernels_and_iterations_can_be_left_out():
    assert CrfConfig(gaussian_weight=0, bilateral_weight=0, iterations=0, num_labels=2)
