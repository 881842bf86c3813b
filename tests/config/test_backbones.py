import pytest
from pydantic import TypeAdapter, ValidationError

from tagmask.config import AnyBackbone, Resnet38dBackbone, Role, TimmBackbone, settings_of

ADAPTER = TypeAdapter(AnyBackbone)


@pytest.mark.parametrize("config", [TimmBackbone(model="resnet50"), Resnet38dBackbone(weights="none")])
def test_a_backbone_survives_json(config):
    assert ADAPTER.validate_json(config.model_dump_json()) == config


def test_every_setting_of_a_backbone_identifies_a_run():
    for config in (TimmBackbone(model="resnet50"), Resnet38dBackbone(weights="none")):
        assert settings_of(config, None) == config.model_dump(mode="json")
        assert all(settings_of(config, role) == {} for role in Role)


def test_nobody_guesses_the_model_or_the_published_weights():
    with pytest.raises(ValidationError, match="model"):
        TimmBackbone()
    with pytest.raises(ValidationError, match="weights"):
        Resnet38dBackbone()


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({"kind": "timm", "model": "resnet50"}, {"output_stride": 4}),
        ({"kind": "timm", "model": "resnet50"}, {"frozen_stages": -1}),
        ({"kind": "timm", "model": "resnet50"}, {"batch_norm": "off"}),
        ({"kind": "timm", "model": "resnet50"}, {"mean": [0.5, 0.5]}),
        ({"kind": "timm", "model": "resnet50"}, {"batch_norm_eps": 1e-5}),
        ({"kind": "resnet38d", "weights": "none"}, {"frozen_stages": -1}),
        ({"kind": "resnet38d", "weights": "none"}, {"batch_norm_eps": 0}),
        ({"kind": "resnet38d", "weights": "none"}, {"output_stride": 8}),
    ],
)
def test_settings_out_of_range_or_of_the_other_kind_are_refused(config, wrong):
    assert ADAPTER.validate_python(config)
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ADAPTER.validate_python(config | wrong)


def test_an_unknown_kind_is_told_with_those_that_are_known():
    with pytest.raises(ValidationError, match="'timm', 'resnet38d'"):
        ADAPTER.validate_python({"kind": "vgg16"})
