import pytest
from pydantic import TypeAdapter, ValidationError

from tagmask.config import AffinityNetConfig, AnyAffinity, IrnConfig, PowerLabels, ThresholdLabels, WalkConfig

ADAPTER = TypeAdapter(AnyAffinity)
TRAINING = {"steps": 10, "rate": 0.1, "augment": {"crop": 64}}


@pytest.mark.parametrize("config", [AffinityNetConfig, IrnConfig])
def test_the_kind_tells_the_networks_apart(config):
    found = ADAPTER.validate_python({"kind": config.model_fields["kind"].default, "training": TRAINING})
    assert found == config(training=TRAINING)
    assert ADAPTER.validate_json(ADAPTER.dump_json(found)) == found


def test_all_settings_of_the_kind_are_written_not_only_those_that_all_share():
    found = ADAPTER.validate_python({"kind": "irn", "training": TRAINING, "walk_radius": 4})
    assert ADAPTER.dump_python(found)["walk_radius"] == 4


def test_each_network_learns_from_labels_of_its_paper_unless_told_otherwise():
    assert AffinityNetConfig(training=TRAINING).labels == PowerLabels()
    assert IrnConfig(training=TRAINING).labels == ThresholdLabels()
    assert IrnConfig(training=TRAINING, labels={"kind": "powers"}).labels == PowerLabels()


def test_the_walk_of_irn_reaches_no_further_than_its_training():
    config = IrnConfig(training=TRAINING)
    assert config.walk_radius <= config.radius


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("affinitynet", {"stride": 0}),
        ("affinitynet", {"radius": 1}),
        ("affinitynet", {"levels": [1, 2]}),
        ("affinitynet", {"widths": [64, 128]}),
        ("affinitynet", {"initial": "random"}),
        ("affinitynet", {"training_border": "half"}),
        ("affinitynet", {"walk_radius": 5}),
        ("irn", {"stride": 0}),
        ("irn", {"radius": 1}),
        ("irn", {"walk_radius": 1}),
        ("irn", {"levels": [4]}),
        ("irn", {"edge_width": 30}),
        ("irn", {"displacement_width": 96}),
        ("irn", {"displacement_factor": 0}),
        ("irn", {"padded_to": 0}),
        ("affinitynet", {"padded_to": 512}),
    ],
)
def test_settings_out_of_range_or_of_the_other_kind_are_refused(kind, wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ADAPTER.validate_python({"kind": kind, "training": TRAINING} | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"beta": 0},
        {"map_power": 0},
        {"resizing": "nearest"},
        {"steps": -1},
        {"border": "none"},
        {"form": "series"},
        {"tolerance": 0},
        {"base_long_side": 0},
    ],
)
def test_walks_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        WalkConfig(**wrong)


def test_a_walk_may_stand_still():
    assert WalkConfig(steps=0).steps == 0
