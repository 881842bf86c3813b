"""The checks for those who write a method or an affinity network: all of the package pass, and each check can fail."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import nn

from tagmask.affinity import AffinityNet, Irn, pair_exists, pair_offsets
from tagmask.config import AffinityConfig, AffinityNetConfig, IrnConfig, MethodConfig, TrainingConfig
from tagmask.contracts import Activation, AffinityModel, Method, Neighbourhood
from tagmask.methods import METHODS, tag_loss
from tagmask.networks import grouped_parameters
from tagmask.testing import (
    METHOD_PROMISES,
    NUM_CLASSES,
    TinyBackbone,
    check_affinity_network,
    check_method,
    finished_maps,
    random_batch,
    rename_classes,
    tiny_backbone,
)

# ── what the checks use ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_tiny_backbone_has_the_levels_it_states():
    with torch.no_grad():
        found = tiny_backbone().forward_levels(torch.zeros(2, 3, 33, 41))
    assert [grid.shape for grid in found] == [(2, 8, 9, 11), (2, 12, 5, 6), (2, 16, 5, 6)]
    assert [level.channels for level in TinyBackbone.levels] == [8, 12, 16]
    assert [level.stride for level in TinyBackbone.levels] == [4, 8, 8]


def test_the_weights_of_the_tiny_backbone_are_a_function_of_the_seed():
    first, again, other = (tiny_backbone(seed).convolutions[0].weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_random_batch_is_the_same_in_every_call_and_of_the_size_that_is_asked_for():
    torch.manual_seed(1)
    first = random_batch()
    torch.manual_seed(2)
    assert torch.equal(first.images, random_batch().images)
    assert 0 < first.tags.mean() < 1
    step = random_batch(size=16, number=2)
    assert step.images.shape == (2, 3, 16, 24)
    assert step.valid.shape == (2, 16, 24)
    assert len(step.ids) == 2


def test_renaming_reaches_weights_and_biases_of_classifiers_and_leaves_a_background_first():
    network = nn.ModuleList([nn.Linear(2, NUM_CLASSES), nn.Conv2d(1, NUM_CLASSES + 1, 1), nn.Linear(2, 7)])
    with torch.no_grad():
        for layer in network:
            layer.bias.copy_(torch.arange(len(layer.bias)))
            layer.weight.copy_(layer.bias.view(-1, *[1] * (layer.weight.dim() - 1)).expand_as(layer.weight))
    order = rename_classes(network)
    assert order.tolist() == [2, 0, 3, 1]
    assert [layer.bias.tolist() for layer in network] == [[2, 0, 3, 1], [0, 3, 1, 4, 2], [0, 1, 2, 3, 4, 5, 6]]
    assert [layer.weight.flatten(1)[:, 0].tolist() for layer in network] == [layer.bias.tolist() for layer in network]


# ── methods ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class LinearConfig(MethodConfig):
    kind: Literal["linear"] = "linear"


class Linear(Method[Activation]):
    """The least that keeps every promise; the methods below break one or another."""

    config_type = LinearConfig
    num_views = 1

    def __init__(self, config, backbone, num_classes) -> None:
        super().__init__()
        self.backbone, self.num_classes = backbone, num_classes
        self.classify = nn.Conv2d(backbone.channels, num_classes, 1)

    def views(self, images):
        return [images]

    def forward(self, images):
        features = self.backbone(images)
        scores = self.classify(features)
        return Activation(scores.mean(dim=(2, 3)), scores.relu(), None, features)

    def view_losses(self, activations, batch):
        return {"tags": tag_loss(activations[0].logits, batch.tags)}

    def parameter_groups(self):
        return grouped_parameters(self.backbone, [self.classify])


# shapes


class GivesATuple(Linear):
    def forward(self, images):
        found = super().forward(images)
        return found.logits, found.maps


class NegativeMaps(Linear):
    def forward(self, images):
        found = super().forward(images)
        return replace(found, maps=self.classify(found.embedding))


class EmptyMaps(Linear):
    def forward(self, images):
        found = super().forward(images)
        return replace(found, maps=0 * found.maps)


class InfiniteMaps(Linear):
    def forward(self, images):
        found = super().forward(images)
        return replace(found, maps=found.maps / 0)


class NegativeBackground(Linear):
    def forward(self, images):
        found = super().forward(images)
        return replace(found, background=-1 - found.maps[:, :1])


class OneClassTooMany(Linear):
    def __init__(self, config, backbone, num_classes) -> None:
        super().__init__(config, backbone, num_classes + 1)


# one forward pass


class OtherMapsInTraining(Linear):
    def forward(self, images):
        found = super().forward(images)
        return replace(found, maps=found.maps * (2 if self.training else 1))


class SeesTheBatch(Linear):
    def forward(self, images):
        return super().forward(images - images.mean(dim=0, keepdim=True))


class NeverTheSameTwice(Linear):
    def forward(self, images):
        found = super().forward(images)
        return replace(found, logits=found.logits + torch.rand(()))


class PrefersTheFirstClass(Linear):
    def forward(self, images):
        found = super().forward(images)
        return replace(found, maps=found.maps * torch.tensor([2.0, 1, 1, 1]).view(1, NUM_CLASSES, 1, 1))


# finishing


class FinishesLogits(Linear):
    def finish(self, activation, tags=None, valid=None):
        return replace(activation, logits=activation.logits + 1)


class FinishesToNothing(Linear):
    def finish(self, activation, tags=None, valid=None):
        return replace(activation, maps=torch.zeros_like(activation.maps))


class DividesByTheNumberOfTags(Linear):
    def finish(self, activation, tags=None, valid=None):
        known = torch.ones_like(activation.logits) if tags is None else tags
        shares = known / known.sum(dim=1, keepdim=True)
        return replace(activation, maps=activation.maps * shares[:, :, None, None])


class NeedsTags(Linear):
    def finish(self, activation, tags=None, valid=None):
        return replace(activation, maps=activation.maps * tags[:, :, None, None])


class DividesByTheLargestOfTheBatch(Linear):
    def finish(self, activation, tags=None, valid=None):
        return replace(activation, maps=activation.maps / activation.maps.max())


class FinishesTheFirstClassOtherwise(Linear):
    def finish(self, activation, tags=None, valid=None):
        return replace(activation, maps=activation.maps * torch.tensor([2.0, 1, 1, 1]).view(1, NUM_CLASSES, 1, 1))


# losses and parameters


class LossOfEachImage(Linear):
    def view_losses(self, activations, batch):
        return {"tags": activations[0].logits.square().mean(dim=1)}


class NoLoss(Linear):
    def view_losses(self, activations, batch):
        return {}


class NamelessLoss(Linear):
    def view_losses(self, activations, batch):
        return {"the tags": tag_loss(activations[0].logits, batch.tags)}


class LossOfTaggedImages(Linear):
    """A mean over nothing where no image carries a tag."""

    def view_losses(self, activations, batch):
        return {"tags": activations[0].logits[batch.tags == 1].mean()}


class OneViewTooMany(Linear):
    num_views = 1

    def views(self, images):
        return [images, images]


class ForgetsTheClassifier(Linear):
    def parameter_groups(self):
        return grouped_parameters(self.backbone, [])


class GroupsTheClassifierTwice(Linear):
    def parameter_groups(self):
        return [*super().parameter_groups(), *grouped_parameters(None, [self.classify])]


class HasALayerThatNeverLearns(Linear):
    def __init__(self, config, backbone, num_classes) -> None:
        super().__init__(config, backbone, num_classes)
        self.idle = nn.Linear(2, 2, bias=False)

    def parameter_groups(self):
        return grouped_parameters(self.backbone, [self.classify, self.idle])


class CallsTheBackboneNew(Linear):
    def parameter_groups(self):
        return grouped_parameters(None, [self.backbone, self.classify])


class CallsTheClassifierOld(Linear):
    def parameter_groups(self):
        return [replace(group, new=False) for group in super().parameter_groups()]


class GroupsFrozenWeights(Linear):
    def parameter_groups(self):
        groups = super().parameter_groups()
        chosen = {id(parameter) for group in groups for parameter in group.parameters}
        left = [parameter for parameter in self.backbone.parameters() if id(parameter) not in chosen]
        return [*groups, replace(groups[0], parameters=left, new=False)] if left else groups


class NormalisedInItsOwnWay(Linear):
    map_normalization = "sum"


SHAPES = "activations have the shapes of the contract"
ONE_PASS = "training and inference share one forward pass"
STRANGERS = "inference is repeatable, and images do not see each other"
FINISHED_SHAPES = "finished activations have the shapes of the contract"
ANY_TAGS = "images with no tag, all tags or nothing known are finite"
FINISHED_ALONE = "finishing does not let images see each other"
LOSSES = "losses are named finite scalars"
GROUPS = "every learning parameter is in one group and gets a gradient"
NEW_AND_OLD = "the backbone is old and the rest is new"
FROZEN = "frozen parameters are in no group"
EQUAL = "renaming the classes renames logits and maps"
FINISHED_EQUAL = "renaming the classes renames finished maps"
NORMALIZATION = "the pipeline knows how maps are normalised"

BROKEN = [
    (GivesATuple, SHAPES, "forward must return an Activation"),
    (NegativeMaps, SHAPES, "maps must not be negative"),
    (EmptyMaps, SHAPES, "no map is positive anywhere"),
    (InfiniteMaps, SHAPES, "maps must be finite"),
    (NegativeBackground, SHAPES, "background must not be negative"),
    (OneClassTooMany, SHAPES, "logits must be b c, got (3, 5)"),
    (OtherMapsInTraining, ONE_PASS, "maps differ between training and evaluation mode"),
    (SeesTheBatch, STRANGERS, "not close"),
    (NeverTheSameTwice, STRANGERS, "two passes over the same images differ"),
    (FinishesLogits, FINISHED_SHAPES, "finishing must leave the logits alone"),
    (FinishesToNothing, FINISHED_SHAPES, "the maps of all tags are empty"),
    (DividesByTheNumberOfTags, ANY_TAGS, ""),
    (NeedsTags, ANY_TAGS, "TypeError"),
    (DividesByTheLargestOfTheBatch, FINISHED_ALONE, "not close"),
    (LossOfEachImage, LOSSES, ""),
    (NoLoss, LOSSES, "there is no loss"),
    (NamelessLoss, LOSSES, "'the tags' is no identifier"),
    (LossOfTaggedImages, LOSSES, "loss tags is nan with tags [0.0, 0.0, 0.0, 0.0]"),
    (OneViewTooMany, LOSSES, "views and num_views disagree"),
    (ForgetsTheClassifier, GROUPS, "each learning parameter must be in exactly one group"),
    (GroupsTheClassifierTwice, GROUPS, "each learning parameter must be in exactly one group"),
    (HasALayerThatNeverLearns, GROUPS, "no gradient reaches idle.weight: training on several processes would stop"),
    (CallsTheBackboneNew, NEW_AND_OLD, "only the backbone's weights are old"),
    (CallsTheClassifierOld, NEW_AND_OLD, "only the backbone's weights are old"),
    (GroupsFrozenWeights, FROZEN, "a frozen weight is grouped"),
    (PrefersTheFirstClass, EQUAL, "not close"),
    (FinishesTheFirstClassOtherwise, FINISHED_EQUAL, "not close"),
    (NormalisedInItsOwnWay, NORMALIZATION, "map_normalization must be one of ('max', 'min_max', 'mean')"),
]


def without_dropout(config: type[MethodConfig]) -> MethodConfig:
    return config(**({"dropout": 0.0} if "dropout" in config.model_fields else {}))


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.__name__)
def test_every_method_of_the_package_passes(method):
    check_method(method, without_dropout(method.config_type))


def test_a_method_of_ones_own_passes_with_the_defaults_of_its_settings():
    check_method(Linear)


def complaints(method: type, config: MethodConfig | None = None) -> list[str]:
    with pytest.raises(AssertionError) as error:
        check_method(method, config)
    first, *lines = str(error.value).splitlines()
    assert first == f"{method.__name__} breaks {len(lines)} promise(s) of a method:"
    return lines


@pytest.mark.parametrize(("method", "promise", "reason"), BROKEN, ids=lambda part: getattr(part, "__name__", ""))
def test_a_broken_promise_is_named_with_what_was_found(method, promise, reason):
    lines = complaints(method)
    alone = [line for line in lines if line.startswith(f"alone: {promise}: ")]
    assert len(alone) == 1
    assert reason in alone[0]


ONLY = [
    (OtherMapsInTraining, [ONE_PASS]),
    (FinishesLogits, [FINISHED_SHAPES]),
    (CallsTheClassifierOld, [NEW_AND_OLD]),
    (NamelessLoss, [LOSSES]),
    (PrefersTheFirstClass, [EQUAL, FINISHED_EQUAL]),
]


@pytest.mark.parametrize(("method", "promises"), ONLY, ids=lambda part: getattr(part, "__name__", ""))
def test_promises_that_are_kept_are_not_named_and_ppc_does_not_hide_those_that_are_not(method, promises):
    found = [tuple(line.split(": ")[:2]) for line in complaints(method)]
    assert found == [(where, promise) for where in ("alone", "inside PPC") for promise in promises]


def test_each_promise_is_broken_by_a_method_of_this_file():
    assert {promise for _, promise, _ in BROKEN} == set(METHOD_PROMISES)


def test_what_cannot_be_built_is_told_by_every_promise():
    class CannotBeBuilt(Linear):
        def __init__(self, config, backbone, num_classes) -> None:
            raise RuntimeError("no weights\nfurther lines")

    lines = complaints(CannotBeBuilt)
    assert lines[0] == f"alone: {next(iter(METHOD_PROMISES))}: RuntimeError: no weights"
    assert len(lines) == 2 * len(METHOD_PROMISES)


def test_abstract_methods_that_are_left_are_named():
    class Half(Method[Activation]):
        config_type = LinearConfig

        def views(self, images):
            return [images]

        def forward(self, images):
            return None

    assert complaints(Half)[0] == "abstract methods are left: parameter_groups, view_losses"


@pytest.mark.parametrize("name", ["losses", "losses_from", "train"])
def test_what_is_final_must_not_be_overridden(name):
    overridden = type("Overridden", (Linear,), {name: getattr(Method, name)})
    assert complaints(overridden) == [
        f"{name} must not be overridden; override `view_losses`, and freeze with `freeze`"
    ]


@pytest.mark.parametrize("wrong", [None, dict, AffinityConfig])
def test_settings_that_are_those_of_no_method_are_refused(wrong):
    class Unsettled(Linear):
        config_type = wrong

    expected = "`config_type` is missing, or no subclass of tagmask.config.MethodConfig"
    assert complaints(Unsettled)[0] == expected
    assert complaints(Unsettled, LinearConfig())[0] == expected


def test_a_kind_of_the_package_cannot_be_taken():
    class TakenConfig(MethodConfig):
        kind: Literal["seam"] = "seam"

    class Taken(Linear):
        config_type = TakenConfig

    assert complaints(Taken) == ["the kind 'seam' belongs to tagmask; choose another"]


def test_finished_maps_come_after_the_background_and_leave_the_method_in_the_mode_that_was_asked_for():
    class WithBackground(Linear):
        def forward(self, images):
            found = super().forward(images)
            return replace(found, background=torch.full_like(found.maps[:, :1], 0.25))

    images = random_batch().images
    plain = Linear(LinearConfig(), tiny_backbone(), NUM_CLASSES)
    more = WithBackground(LinearConfig(), tiny_backbone(), NUM_CLASSES)
    more.load_state_dict(plain.state_dict())
    expected, found = (finished_maps(method, images, None, training=True) for method in (plain, more))
    assert (found[:, 0] == 0.25).all()
    assert torch.equal(found[:, 1:], expected)
    assert more.training


# ── affinity networks ────────────────────────────────────────────────────────────────────────────────────────────────

TRAINING = TrainingConfig(steps=1, rate=0.1, augment={"crop": 48})


class FlatConfig(AffinityConfig):
    kind: Literal["flat"] = "flat"
    stride: int = 8
    radius: int = 2
    labels: dict = {}  # noqa: RUF012 - a setting


class Flat(AffinityModel):
    """The least that keeps every promise of an affinity network."""

    config_type = FlatConfig

    def __init__(self, config, backbone) -> None:
        super().__init__()
        self.backbone, self.stride, self.offsets = backbone, config.stride, pair_offsets(config.radius)
        self.weigh = nn.Conv2d(backbone.channels, len(self.offsets), 1)

    def neighbourhood(self, images, border="full"):
        affinities = self.weigh(self.backbone(images)).sigmoid()
        return Neighbourhood(affinities * pair_exists(*affinities.shape[2:], self.offsets, border))

    def outputs(self, batch):
        return self.neighbourhood(batch.images).affinities

    def losses_from(self, outputs, batch):
        return {"pairs": outputs.mean()}

    def parameter_groups(self):
        return grouped_parameters(self.backbone, [self.weigh])


class AboveOne(Flat):
    def neighbourhood(self, images, border="full"):
        return Neighbourhood(2 + super().neighbourhood(images, border).affinities)


class WherePairsEnd(Flat):
    def neighbourhood(self, images, border="full"):
        return Neighbourhood(self.weigh(self.backbone(images)).sigmoid())


class OnePlaneShort(Flat):
    def neighbourhood(self, images, border="full"):
        return Neighbourhood(super().neighbourhood(images, border).affinities[:, 1:])


class FlatWithoutLoss(Flat):
    def losses_from(self, outputs, batch):
        return {}


class FlatWithVectors(Flat):
    def losses_from(self, outputs, batch):
        return {"pairs": outputs.mean(dim=(1, 2, 3))}


class FlatWithNan(Flat):
    def losses_from(self, outputs, batch):
        return {"pairs": outputs.mean() * float("nan")}


class FlatWithoutGroup(Flat):
    def parameter_groups(self):
        return grouped_parameters(self.backbone, [])


class FlatThatIsIdle(Flat):
    def __init__(self, config, backbone) -> None:
        super().__init__(config, backbone)
        self.idle = nn.Linear(2, 2, bias=False)

    def parameter_groups(self):
        return grouped_parameters(self.backbone, [self.weigh, self.idle])


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize(("network", "config"), [(AffinityNet, AffinityNetConfig), (Irn, IrnConfig)])
def test_every_affinity_network_of_the_package_passes(network, config, stride):
    check_affinity_network(network, config(stride=stride, radius=3, training=TRAINING))


def test_an_affinity_network_of_ones_own_passes():
    check_affinity_network(Flat, FlatConfig(training=TRAINING))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (AboveOne, r"affinities must lie in \[0, 1\]"),
        (WherePairsEnd, "affinities must be 0 where there is no pair"),
        (OnePlaneShort, r"affinities must be b s p q = \(3, 4, 5, 6\), got \(3, 3, 5, 6\)"),
        (FlatWithoutLoss, "there is no loss"),
        (FlatWithVectors, "losses must be finite numbers"),
        (FlatWithNan, "losses must be finite numbers"),
        (FlatWithoutGroup, "each learning parameter must be in exactly one group"),
        (FlatThatIsIdle, r"no gradient reaches idle\.weight"),
    ],
)
def test_a_broken_promise_of_an_affinity_network_is_named(network, reason):
    with pytest.raises(AssertionError, match=reason):
        check_affinity_network(network, FlatConfig(training=TRAINING))


def test_settings_of_another_affinity_network_are_refused():
    with pytest.raises(AssertionError, match="config must be a FlatConfig"):
        check_affinity_network(Flat, AffinityNetConfig(training=TRAINING))
