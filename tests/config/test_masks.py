import pytest
from pydantic import TypeAdapter, ValidationError

from tagmask.config import (
    CRF_PRESETS,
    AnyLabels,
    BackgroundConfig,
    InstancesConfig,
    LearntLabels,
    MapsConfig,
    MasksConfig,
    PowerLabels,
    Role,
    ThresholdLabels,
    settings_of,
)

LABELS = TypeAdapter(AnyLabels)


@pytest.mark.parametrize("config", [PowerLabels(low=3), ThresholdLabels(foreground=0.5), LearntLabels(weak=0.25)])
def test_labels_are_told_apart_by_their_kind(config):
    assert LABELS.validate_python({"kind": config.kind}) == type(config)()
    assert LABELS.validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("config", [PowerLabels, ThresholdLabels, LearntLabels])
def test_the_crf_of_labels_takes_the_name_of_a_preset_and_cannot_be_left_out(config):
    assert config(crf="deeplab").crf == CRF_PRESETS["deeplab"]
    with pytest.raises(ValidationError, match="crf"):
        config(crf=None)


def test_labels_made_of_hard_masks_have_a_crf_that_starts_from_hard_masks():
    assert ThresholdLabels().crf.unary == LearntLabels().crf.unary == "hard"
    assert PowerLabels().crf.unary == "soft"


def test_what_is_trusted_as_foreground_beats_more_background_than_what_is_not_trusted_as_background():
    assert ThresholdLabels().foreground > ThresholdLabels().background
    assert LearntLabels().strong > LearntLabels().weak
    assert PowerLabels().low < PowerLabels().high  # of a number below 1: the lower power is the stronger background


def test_the_crf_of_masks_can_be_left_out():
    assert MasksConfig(crf=None).crf is None
    assert MasksConfig(crf="irn").crf == CRF_PRESETS["irn"]


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (MapsConfig, {"scales": ()}),
        (MapsConfig, {"base_long_side": 0}),
        (MapsConfig, {"tag_threshold": 0}),
        (MapsConfig, {"tag_threshold": 1}),
        (MapsConfig, {"size": "whole"}),
        (MapsConfig, {"resizing": "thrice"}),
        (MapsConfig, {"workers": -1}),
        (BackgroundConfig, {"value": -0.1}),
        (BackgroundConfig, {"rule": "powers"}),
        (BackgroundConfig, {"walked_maps": "all"}),
        (PowerLabels, {"low": 0}),
        (PowerLabels, {"high": 0}),
        (ThresholdLabels, {"background": -0.1}),
        (LearntLabels, {"weak": 0}),
        (MasksConfig, {"ignore_below": 1.1}),
        (MasksConfig, {"ignore_value": -1}),
        (MasksConfig, {"workers": -1}),
        (InstancesConfig, {"iterations": 0}),
        (InstancesConfig, {"centre_below": 0}),
        (InstancesConfig, {"background": 1.1}),
        (InstancesConfig, {"smallest_share": 1}),
    ],
)
def test_settings_out_of_range_are_refused(config, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        config(**wrong)


@pytest.mark.parametrize(
    "config", [MapsConfig(workers=5), MasksConfig(workers=5), MasksConfig(keep="maps"), InstancesConfig(workers=5)]
)
def test_how_a_stage_is_carried_out_identifies_no_run(config):
    assert settings_of(config, None) == settings_of(type(config)(), None)
    assert settings_of(config, Role.EXECUTION) != settings_of(type(config)(), Role.EXECUTION)
