"""What every method and affinity network promises, as checks for those who write one.

``check_method(Top)`` tries a method on a tiny backbone, alone and with PPC around it, and says which promises of
``tagmask.contracts`` it breaks. A test of one line is enough:

    from tagmask.testing import check_method

    def test_top_keeps_its_promises():
        check_method(Top)
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tagmask.affinity.pairs import pair_exists
from tagmask.config import AffinityConfig, MethodConfig, PpcConfig
from tagmask.config.kinds import kind_of
from tagmask.config.methods import METHOD_KINDS
from tagmask.contracts import Activation, AffinityModel, Backbone, Batch, Images, Level, Method, Normalization
from tagmask.methods import METHODS
from tagmask.methods.ppc import Ppc

NUM_CLASSES = 4
_ORDER = torch.tensor([2, 0, 3, 1])
_TAGS = torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]])


class TinyBackbone(Backbone):
    """Three levels of strides 4, 8, 8, no normalisation layers: batches of any split have the same gradients."""

    levels = (Level(8, 4), Level(12, 8), Level(16, 8))
    normalization = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

    def __init__(self) -> None:
        super().__init__()
        strides, widths = (4, 2, 1), (3, 8, 12, 16)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3, stride, padding=1) for i, stride in enumerate(strides)
        )

    def forward_levels(self, images: Images) -> list[Tensor]:
        """All levels, finest first."""
        levels = []
        for convolution in self.convolutions:
            images = torch.relu(convolution(images))
            levels.append(images)
        return levels

    def stages(self) -> list[list[nn.Module]]:
        """Each convolution is a stage."""
        return [[convolution] for convolution in self.convolutions]


def tiny_backbone(seed: int = 0) -> TinyBackbone:
    """A backbone whose random weights are a function of ``seed``."""
    torch.manual_seed(seed)
    return TinyBackbone()


def random_batch(size: int = 33, number: int = 3) -> Batch:
    """Images ``number 3 size size+8`` with random pixels, tags of four classes and saliency, the same in every call."""
    random = torch.Generator().manual_seed(5)
    return Batch(
        ids=tuple(map(str, range(number))),
        images=torch.randn(number, 3, size, size + 8, generator=random),
        tags=torch.rand(number, NUM_CLASSES, generator=random).round(),
        valid=torch.ones(number, size, size + 8, dtype=torch.bool),
        saliency=torch.rand(number, 1, size, size + 8, generator=random),
    )


# ── methods ──────────────────────────────────────────────────────────────────────────────────────────────────────────

AnyMethod = Method[Any]


def check_method(method: type[AnyMethod], config: MethodConfig | None = None) -> None:
    """Try every promise of a method, alone and inside PPC.

    Args:
        method: the class; its ``config_type`` is the class of its settings.
        config: settings to try it with; None: the defaults. Dropout, where it has any, should be 0.

    Raises:
        AssertionError: a line for each promise that is not kept.
    """
    broken = _broken_class(method)
    for where, build in _ways_to_build(method, config).items():
        broken += [f"{where}: {line}" for line in _broken_promises(build)]
    assert not broken, "\n".join([f"{method.__name__} breaks {len(broken)} promise(s) of a method:", *broken])


def _ways_to_build(method: type[AnyMethod], config: MethodConfig | None) -> dict[str, Callable[[], AnyMethod]]:
    """A method alone and inside PPC; nothing for one without settings of a method."""
    if config is None and not _has_settings(method):
        return {}
    settings = method.config_type.model_validate({}) if config is None else config

    def plain() -> AnyMethod:
        return method(settings, tiny_backbone(), NUM_CLASSES)  # pyright: ignore[reportCallIssue] - the contract's words

    return {"alone": plain, "inside PPC": lambda: Ppc(PpcConfig(base=settings), plain())}


def _has_settings(method: type[AnyMethod]) -> bool:
    config = getattr(method, "config_type", None)
    return isinstance(config, type) and issubclass(config, MethodConfig)


def _broken_promises(build: Callable[[], AnyMethod]) -> list[str]:
    broken = []
    for words, promise in METHOD_PROMISES.items():
        torch.manual_seed(1)
        try:
            promise(build())
        except Exception as error:  # whatever a method under trial may raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            broken.append(f"{words}: {type(error).__name__}: {reason[0]}")
    return broken


def _broken_class(method: type[AnyMethod]) -> list[str]:
    broken = []
    if getattr(method, "__abstractmethods__", None):
        broken.append(f"abstract methods are left: {', '.join(sorted(method.__abstractmethods__))}")
    final = [name for name in ("losses", "losses_from", "train") if name in vars(method)]
    if final:
        broken.append(f"{', '.join(final)} must not be overridden; override `view_losses`, and freeze with `freeze`")
    if not _has_settings(method):
        broken.append("`config_type` is missing, or no subclass of tagmask.config.MethodConfig")
    elif method not in METHODS.values() and kind_of(method.config_type) in METHOD_KINDS.own:
        broken.append(f"the kind {kind_of(method.config_type)!r} belongs to tagmask; choose another")
    return broken


def _activations(method: AnyMethod) -> None:
    with torch.no_grad():
        found = method(random_batch().images)
    assert isinstance(found, Activation), "forward must return an Activation"
    _assert_shapes(found)
    assert (found.maps > 0).any(), "no map is positive anywhere"


def _assert_shapes(found: Activation) -> None:
    assert found.logits.shape == (3, NUM_CLASSES), f"logits must be b c, got {tuple(found.logits.shape)}"
    assert found.maps.shape[:2] == (3, NUM_CLASSES), f"maps must be b c p q, got {tuple(found.maps.shape)}"
    grid = found.maps.shape[2:]
    assert found.embedding.shape[2:] == grid, "embedding and maps must lie on the same grid"
    if found.background is not None:
        assert found.background.shape == (3, 1, *grid), f"background must be b 1 p q, got {found.background.shape}"
    for name, values in {"maps": found.maps, "background": found.background}.items():
        if values is not None:
            assert values.isfinite().all(), f"{name} must be finite"
            assert (values >= 0).all(), f"{name} must not be negative"


def _one_pass(method: AnyMethod) -> None:
    with torch.no_grad():
        trained, inferred = method.train()(random_batch().images), method.eval()(random_batch().images)
    assert torch.equal(trained.maps, inferred.maps), "maps differ between training and evaluation mode"


def _images_are_strangers(method: AnyMethod) -> None:
    images = random_batch().images
    with torch.no_grad():
        together, again, alone = method.eval()(images), method(images), method(images[1:2])
    assert torch.equal(together.logits, again.logits), "two passes over the same images differ"
    torch.testing.assert_close(together.maps[1:2], alone.maps)
    torch.testing.assert_close(together.logits[1:2], alone.logits)


def finished_maps(method: AnyMethod, images: Tensor, tags: Tensor | None, training: bool) -> Tensor:
    """Finished maps of a repeatable pass, after the background if there is one."""
    with torch.no_grad():
        found = method.eval()(images)
        found = method.train(training).finish(found, tags)
    return found.maps if found.background is None else torch.cat([found.background, found.maps], dim=1)


def _finishing(method: AnyMethod) -> None:
    for training in (True, False):
        with torch.no_grad():
            raw = method.train(training)(random_batch().images)
            found = method.finish(raw, _TAGS)
        _assert_shapes(found)
        assert torch.equal(found.logits, raw.logits), "finishing must leave the logits alone"
        assert (found.maps[:2][_TAGS[:2] == 1].amax(dim=(1, 2)) > 0).any(), "the maps of all tags are empty"


def _finishing_any_tags(method: AnyMethod) -> None:
    for training in (True, False):
        for tags in (torch.zeros_like(_TAGS), torch.ones_like(_TAGS), None):
            assert finished_maps(method, random_batch().images, tags, training).isfinite().all()


def _finishing_alone(method: AnyMethod) -> None:
    images = random_batch().images
    for training in (True, False):
        together = finished_maps(method, images, _TAGS, training)
        for i in range(3):
            alone = finished_maps(method, images[i : i + 1], _TAGS[i : i + 1], training)
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def _losses(method: AnyMethod) -> None:
    step = random_batch()
    assert len(method.views(step.images)) == method.num_views, "views and num_views disagree"
    for tags in (step.tags, torch.zeros_like(step.tags), torch.ones_like(step.tags)):
        losses = method.train().losses(replace(step, tags=tags))
        assert losses, "there is no loss"
        for name, value in losses.items():
            assert name.isidentifier(), f"{name!r} is no identifier"
            assert value.shape == (), f"loss {name} must be a single number, got {tuple(value.shape)}"
            assert value.isfinite(), f"loss {name} is {value.item()} with tags {tags[0].tolist()} ..."


def _groups(method: AnyMethod) -> None:
    grouped = [id(parameter) for group in method.parameter_groups() for parameter in group.parameters]
    learning = {id(parameter): name for name, parameter in method.named_parameters() if parameter.requires_grad}
    assert sorted(grouped) == sorted(learning), "each learning parameter must be in exactly one group"
    torch.stack(list(method.train().losses(random_batch()).values())).sum().backward()
    without = [n for n, parameter in method.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not without, f"no gradient reaches {', '.join(without)}: training on several processes would stop"


def _new_and_old(method: AnyMethod) -> None:
    backbone = {id(parameter) for parameter in method.backbone.parameters()}
    for group in method.parameter_groups():
        assert {id(p) in backbone for p in group.parameters} == {not group.new}, "only the backbone's weights are old"


def _frozen(method: AnyMethod) -> None:
    assert isinstance(method.backbone, TinyBackbone)
    method.backbone.convolutions[0].requires_grad_(False)
    grouped = {id(parameter) for group in method.parameter_groups() for parameter in group.parameters}
    assert not grouped & {id(p) for p in method.backbone.convolutions[0].parameters()}, "a frozen weight is grouped"
    assert grouped >= {id(p) for p in method.backbone.convolutions[1].parameters()}, "a learning weight is not grouped"


@torch.no_grad()
def rename_classes(method: nn.Module) -> Tensor:
    """Put the classes of every classifier in another order, which is returned; a background comes first and stays."""
    for layer in method.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and len(layer.weight) in (NUM_CLASSES, NUM_CLASSES + 1):
            for values in (layer.weight, *([] if layer.bias is None else [layer.bias])):
                values[-NUM_CLASSES:] = values[-NUM_CLASSES:][_ORDER].clone()
    return _ORDER


def _classes_are_equal(method: AnyMethod) -> None:
    images = random_batch().images
    with torch.no_grad():
        before = method.eval()(images)
        order = rename_classes(method)
        after = method(images)
    torch.testing.assert_close(after.maps, before.maps[:, order])
    torch.testing.assert_close(after.logits, before.logits[:, order])


def _finished_classes_are_equal(method: AnyMethod) -> None:
    images, state = random_batch().images, {name: value.clone() for name, value in method.state_dict().items()}
    for training in (True, False):
        method.load_state_dict(state)
        before = finished_maps(method, images, _TAGS, training)
        order = rename_classes(method)
        after = finished_maps(method, images, _TAGS[:, order], training)
        background = before.shape[1] - NUM_CLASSES
        torch.testing.assert_close(after[:, :background], before[:, :background], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(after[:, background:], before[:, background:][:, order], atol=1e-5, rtol=1e-5)


def _known_normalization(method: AnyMethod) -> None:
    known = ("max", "min_max", "mean")
    assert method.map_normalization in known, f"map_normalization must be one of {known}"


METHOD_PROMISES: Mapping[str, Callable[[AnyMethod], None]] = {
    "activations have the shapes of the contract": _activations,
    "training and inference share one forward pass": _one_pass,
    "inference is repeatable, and images do not see each other": _images_are_strangers,
    "finished activations have the shapes of the contract": _finishing,
    "images with no tag, all tags or nothing known are finite": _finishing_any_tags,
    "finishing does not let images see each other": _finishing_alone,
    "losses are named finite scalars": _losses,
    "every learning parameter is in one group and gets a gradient": _groups,
    "the backbone is old and the rest is new": _new_and_old,
    "frozen parameters are in no group": _frozen,
    "renaming the classes renames logits and maps": _classes_are_equal,
    "renaming the classes renames finished maps": _finished_classes_are_equal,
    "the pipeline knows how maps are normalised": _known_normalization,
}
"""What a method promises, by the words in which a broken promise is reported."""


# ── affinity networks ────────────────────────────────────────────────────────────────────────────────────────────────


def check_affinity_network(network: type[AffinityModel], config: AffinityConfig) -> None:
    """Try what an affinity network promises.

    Args:
        network: the class; its ``config_type`` is the class of its settings.
        config: settings to try it with, with a stride of 8 pixels at most.

    Raises:
        AssertionError: the first promise that is not kept.
    """
    assert isinstance(config, network.config_type), f"config must be a {network.config_type.__name__}"
    torch.manual_seed(1)
    net = network(config, tiny_backbone())  # pyright: ignore[reportCallIssue] - as the contract says in words
    step = random_batch(size=40)
    grid = (-(-step.images.shape[2] // net.stride), -(-step.images.shape[3] // net.stride))
    with torch.no_grad():
        found = net.eval().neighbourhood(step.images)
    affinities, expected = found.affinities, (3, len(net.offsets), *grid)
    assert affinities.shape == expected, f"affinities must be b s p q = {expected}, got {tuple(affinities.shape)}"
    assert ((affinities >= 0) & (affinities <= 1)).all(), "affinities must lie in [0, 1]"
    absent = ~pair_exists(*grid, net.offsets, "full")
    assert (affinities[:, absent] == 0).all(), "affinities must be 0 where there is no pair"
    labels = torch.arange(grid[0] * grid[1]).view(1, *grid).expand(3, *grid) % 7 // 3
    step = replace(step, masks=labels)
    losses = net.train().losses_from(net.outputs(step), step)
    assert losses, "there is no loss"
    assert all(value.shape == () and value.isfinite() for value in losses.values()), "losses must be finite numbers"
    torch.stack(list(losses.values())).sum().backward()
    grouped = [id(parameter) for group in net.parameter_groups() for parameter in group.parameters]
    learning = {id(parameter): name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert sorted(grouped) == sorted(learning), "each learning parameter must be in exactly one group"
    without = [name for name, parameter in net.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not without, f"no gradient reaches {', '.join(without)}"
