import pytest
from pydantic import ValidationError

from tagmask.config import (
    CRF_PRESETS,
    HeadConfig,
    Resnet38dBackbone,
    Role,
    SegmenterConfig,
    TimmBackbone,
    settings_of,
)

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


# ── several scales at once ───────────────────────────────────────────────────────────────────────────────────────────


def test_there_is_one_pass_and_a_plain_head_by_default():
    found = segmenter()
    assert (found.maximum_over, found.freezing) == ((), None)
    assert found.head == HeadConfig(weights="plain", batch_norm="train", batch_norm_momentum=0.1)


@pytest.mark.parametrize("scales", [[1.0], [0.75, 1.0], [1.0, 0.5, 0.5]])
def test_a_maximum_is_of_scale_one_and_others(scales):
    with pytest.raises(ValidationError, match=r"maximum_over must begin with 1 .* \[\] for a single pass"):
        segmenter(maximum_over=scales)


@pytest.mark.parametrize("other", [{"tag_weight": 1.0}, {"dice_weight": 0.5}, {"padding": "cut"}])
def test_a_maximum_does_not_go_with_other_losses(other):
    with pytest.raises(ValidationError, match=f"do not go with {next(iter(other))}; leave out one"):
        segmenter(maximum_over=[1.0, 0.5], **other)


# ── what of the backbone learns ──────────────────────────────────────────────────────────────────────────────────────


def test_freezing_changes_that_of_the_backbone_and_nothing_else():
    backbone = Resnet38dBackbone(weights="none", frozen_stages=2, batch_norm="frozen")
    assert segmenter().backbone_of(backbone) == backbone
    freezing = {"frozen_stages": 0, "batch_norm": "statistics", "batch_norm_momentum": 0.0003}
    found = segmenter(freezing=freezing).backbone_of(backbone)
    assert found == Resnet38dBackbone(weights="none", **freezing)
    own = segmenter(freezing=freezing, backbone={"kind": "timm", "model": "resnet18"}).backbone_of(backbone)
    assert own == TimmBackbone(model="resnet18", **freezing)
