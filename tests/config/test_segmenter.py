import pytest
from pydantic import ValidationError

from tagmask.config import CRF_PRESETS, Role, SegmenterConfig, settings_of

TRAINING = {"steps": 10, "rate": 0.1, "augment": {"crop": 64}}


def segmenter(**settings) -> SegmenterConfig:
    return SegmenterConfig.model_validate({"training": TRAINING} | settings)


def test_a_training_must_be_given():
    with pytest.raises(ValidationError, match="training"):
        SegmenterConfig()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "unet"},
        {"initial": "random"},
        {"width": 0},
        {"rates": []},
        {"low_level_width": 0},
        {"dropout": 1.0},
        {"scales": []},
        {"base_long_side": 0},
        {"workers": -1},
        {"crf": "unknown"},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        segmenter(**wrong)


def test_there_is_no_crf_unless_it_is_named():
    assert segmenter().crf is None
    assert segmenter(crf="deeplab").crf == CRF_PRESETS["deeplab"]


def test_a_backbone_of_its_own_is_read_by_its_kind():
    found = segmenter(backbone={"kind": "timm", "model": "resnet18"}).backbone
    assert (found.kind, found.model) == ("timm", "resnet18")


def test_the_number_of_processes_identifies_no_run_at_any_depth():
    other = segmenter(workers=5, training=TRAINING | {"workers": 4})
    assert settings_of(other, None) == settings_of(segmenter(), None)
    found = settings_of(other, Role.EXECUTION)
    assert (found["workers"], found["training"]["workers"]) == (5, 4)
