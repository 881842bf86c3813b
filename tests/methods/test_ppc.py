"""PPC around every method: what learns, what counts, what is left, and the published mining pixel by pixel."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from shared_runs import TinyBackbone, tiny_backbone
from tagmask.config import CamConfig, EpsConfig, EquivarianceConfig, PpcConfig, SeamConfig, SipeConfig
from tagmask.contracts import Activation, Batch
from tagmask.conventions import IGNORE
from tagmask.methods import build_method
from tagmask.methods.ppc import Pixels, Ppc, contrast_losses, cross_loss, intra_loss, intra_losses

CLASSES = 4
CONTRAST = ("cross_prototype", "cross_cam", "intra_view")
BASES = {
    "cam": CamConfig(dropout=0.0),
    "seam": SeamConfig(dropout=0.0),
    "eps": EpsConfig(),
    "eps-seam": EpsConfig(equivariance=EquivarianceConfig()),
    "sipe": SipeConfig(),
}
TAGS = torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0], [1.0, 1, 0, 0]])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def batch(size: int = 64, tags: Tensor = TAGS) -> Batch:
    valid = torch.ones(len(tags), size, size + 8, dtype=torch.bool)
    images, saliency = drawn(len(tags), 3, size, size + 8) * 4 - 2, drawn(len(tags), 1, size, size + 8, seed=1)
    return Batch(tuple(map(str, range(len(tags)))), images, tags, valid, saliency=saliency)


def method(base: str = "cam", **settings: object) -> Ppc:
    torch.manual_seed(4)
    built = build_method(PpcConfig(base=BASES[base], view_scale=0.5, **settings), tiny_backbone(), CLASSES)
    assert isinstance(built, Ppc)
    return built.train()


def activation(size: tuple[int, int] = (6, 7), seed: int = 0, number: int = 3) -> Activation:
    """What the base could have found."""
    maps, embedding = drawn(number, CLASSES, *size, seed=seed), drawn(number, 16, *size, seed=seed + 50)
    return Activation(torch.zeros(number, CLASSES), maps, None, embedding)


def contrast(ppc: Ppc, first: Activation, second: Activation, step: Batch | None = None) -> dict[str, float]:
    """The losses of the contrast, with the same random draws in every call."""
    torch.manual_seed(6)
    losses = ppc.view_losses([first, second], batch() if step is None else step)
    return {name: losses[name].item() for name in CONTRAST}


# ── what learns ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("base", BASES)
def test_the_contrast_reaches_projector_and_backbone_alone(base, faithful):
    ppc = method(base, faithful=faithful)
    losses = ppc.losses(batch())
    torch.stack([losses[name] for name in CONTRAST]).sum().backward()
    learnt = {name for name, value in ppc.named_parameters() if value.grad is not None and value.grad.any()}
    assert learnt == {"fc_proj.weight"} | {f"base.backbone.{name}" for name, _ in ppc.backbone.named_parameters()}


@pytest.mark.parametrize("base", BASES)
def test_the_base_learns_what_it_learns_alone(base):
    ppc = method(base, cross_prototype_weight=0, cross_cam_weight=0, intra_view_weight=0, base_losses="all_views")
    alone = ppc.base
    views = ppc.views(batch().images)
    if alone.num_views == 2:
        expected = alone.losses(batch())
    else:
        found = [alone.finish(alone(view), TAGS, batch().valid) for view in views]
        each = [alone.view_losses([one], batch()) for one in found]
        expected = {name: (each[0][name] + each[1][name]) / 2 for name in each[0]}
    losses = ppc.losses(batch())
    assert set(losses) == set(expected) | set(CONTRAST)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)


def test_the_first_view_alone_can_teach_a_base_of_one_view():
    ppc = method(base_losses="first_view")
    assert torch.equal(ppc.losses(batch())["tags"], ppc.base.losses(batch())["tags"])


def test_weights_multiply_their_losses():
    first, second = activation(), activation((3, 4), seed=1)
    plain, heavy = contrast(method(), first, second), contrast(method(cross_cam_weight=0.3), first, second)
    assert heavy == pytest.approx(plain | {"cross_cam": 3 * plain["cross_cam"]})


def test_warm_up_grows_with_the_steps_of_training_and_is_kept_with_the_weights():
    ppc, plain = method(warmup_steps=4), contrast(method(), activation(), activation(seed=1))
    factors = []
    for _ in range(6):
        losses = contrast(ppc, activation(), activation(seed=1))
        factors.append([losses[name] / plain[name] for name in CONTRAST])
    assert torch.tensor(factors).mean(1).tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])
    assert ppc.state_dict()["steps"].item() == 6
    contrast(ppc.eval(), activation(), activation(seed=1))
    assert ppc.steps.item() == 6
    resumed = method(warmup_steps=4)
    resumed.load_state_dict({**ppc.state_dict(), "steps": torch.tensor(2)})
    assert contrast(resumed, activation(), activation(seed=1)) == pytest.approx(
        {name: value / 2 for name, value in plain.items()}
    )


def test_warm_up_may_be_a_share_of_the_training():
    ppc, plain = method(warmup_share=0.5), contrast(method(), activation(), activation(seed=1))
    ppc.prepare_training(8)
    factors = []
    for _ in range(6):
        losses = contrast(ppc, activation(), activation(seed=1))
        factors.append([losses[name] / plain[name] for name in CONTRAST])
    assert torch.tensor(factors).mean(1).tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])


# ── views and what is left ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("settings", "size"), [({}, (32, 36)), ({"view_size": 24}, (24, 24))])
def test_a_base_of_one_view_gets_a_smaller_one(settings, size):
    images = batch().images
    views = method(**settings).views(images)
    assert views[0] is images
    assert views[1].shape[2:] == size


@pytest.mark.parametrize("base", ["seam", "eps-seam"])
def test_two_views_of_the_base_are_kept(base):
    views = method(base).views(batch().images)
    assert [view.shape[2:] for view in views] == [(64, 72), (19, 21)]


def test_the_smaller_grid_is_used_whichever_view_has_it():
    large, small = activation((6, 7)), activation((3, 4), seed=1)
    ppc = method()
    pixels = ppc._pixels([small, large], [ppc.projected(one.embedding) for one in (small, large)], batch())
    assert [view.cells for view in pixels] == [12, 12]
    straight, swapped = contrast(ppc, large, small), contrast(ppc, small, large)
    for name in ("cross_prototype", "cross_cam"):  # in the third, random pixels are drawn for each view
        assert straight[name] == pytest.approx(swapped[name], rel=1e-5)


@pytest.mark.parametrize("base", BASES)
def test_the_base_is_what_is_left(base):
    ppc = method(base)
    assert ppc.for_inference() is ppc.base
    assert ppc.map_normalization == ppc.base.map_normalization
    own = {name for name in ppc.state_dict() if not name.startswith("base.")}
    assert own == {"fc_proj.weight", "steps"}


def test_the_base_is_calibrated():
    ppc = build_method(PpcConfig(base=SipeConfig(background_factor="matched")), tiny_backbone(), CLASSES).eval()
    ppc.calibrate([batch()])
    assert ppc.base.background_factor != 1


# ── what counts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def padded() -> Batch:
    """The right half of every image is padding."""
    step = batch(48)
    return replace(step, valid=step.valid & (torch.arange(step.valid.shape[2]) < 28))


@pytest.mark.parametrize("faithful", [False, True])
def test_padding_counts_only_where_it_is_published(faithful):
    views = activation(), activation(seed=1)
    changed = []
    for view in views:
        maps, embedding = view.maps.clone(), view.embedding.clone()
        maps[..., 4:], embedding[..., 4:] = 5 * maps[..., 4:].flip(0) + 1, embedding[..., 4:].flip(0)
        changed.append(replace(view, maps=maps, embedding=embedding))
    ppc = method(faithful=faithful)
    before, after = contrast(ppc, *views, padded()), contrast(ppc, *changed, padded())
    assert (before == pytest.approx(after)) != faithful


@pytest.mark.parametrize("faithful", [False, True])
def test_absent_classes_count_only_where_it_is_published(faithful):
    first, second = activation(), activation(seed=1)
    changed = replace(first, maps=torch.where(TAGS[:, :, None, None] == 1, first.maps, first.maps.flip(-1)))
    ppc = method(faithful=faithful)
    before, after = contrast(ppc, first, second), contrast(ppc, changed, second)
    assert (before == pytest.approx(after)) != faithful


@pytest.mark.parametrize("faithful", [False, True])
def test_a_learnt_background_counts_unless_the_constant_is_published(faithful):
    first, second = activation(), activation(seed=1)
    learnt = [replace(one, background=drawn(3, 1, 6, 7, seed=9)) for one in (first, second)]
    ppc = method(faithful=faithful)
    assert (contrast(ppc, first, second) == pytest.approx(contrast(ppc, *learnt))) == faithful
    if faithful:
        assert contrast(method(faithful=True, background=0.9), first, second) != contrast(ppc, first, second)


def test_published_labels_come_from_refined_maps():
    ppc = method("seam", faithful=True)
    found = [ppc(view) for view in ppc.views(batch().images)]
    plain = [replace(one, maps=one.maps.flip(-1)) for one in found]
    assert contrast(ppc, *found) == pytest.approx(contrast(ppc, *plain))
    assert contrast(method("seam"), *found) != pytest.approx(contrast(method("seam"), *plain))


def views_of(ppc: Ppc, seed: int = 0) -> list[Pixels]:
    found = activation(seed=seed), activation((4, 5), seed=seed + 1)
    return ppc._pixels(list(found), [ppc.projected(one.embedding) for one in found], batch())


def test_without_absent_classes_their_prototypes_are_missing():
    pixels = views_of(method())
    assert pixels[0].present.tolist() == [True, True, True, False, True]  # the third class is in no image
    assert (pixels[0].prototypes[3] == 0).all()
    assert views_of(method(faithful=True))[0].present.all()


def test_each_term_takes_its_labels_and_prototypes_from_the_right_view():
    ppc = method()
    first, second = views_of(ppc)
    losses = contrast_losses(ppc.config, first, second)
    expected = [cross_loss(ppc.config, first, labels=first, prototypes=second)]
    expected.append(cross_loss(ppc.config, second, labels=second, prototypes=first))
    torch.testing.assert_close(losses["cross_prototype"], 0.1 * torch.stack(expected).mean())
    expected = [cross_loss(ppc.config, first, labels=second, prototypes=first)]
    expected.append(cross_loss(ppc.config, second, labels=first, prototypes=second))
    torch.testing.assert_close(losses["cross_cam"], 0.1 * torch.stack(expected).mean())
    expected = [intra_loss(ppc.config, first), intra_loss(ppc.config, second)]
    torch.testing.assert_close(losses["intra_view"], 0.1 * torch.stack(expected).mean())


# ── the intra-view loss, pixel by pixel ──────────────────────────────────────────────────────────────────────────────


def loss_of_pixel(config: PpcConfig, pixels: Pixels, index: int) -> float:
    """One pixel against its negatives, by the words of the paper and of the documentation."""
    own, feature = int(pixels.labels[index]), pixels.features[index].tolist()
    directions = pixels.prototypes.tolist()
    likeness = {
        k: sum(a * b for a, b in zip(feature, directions[k], strict=True)) / config.temperature
        for k in range(len(directions))
        if pixels.present[k] and (config.faithful or k != own)
    }
    ranked = sorted(likeness.values(), reverse=True)
    skipped, kept = config.skipped_prototypes, config.kept_prototypes
    if not config.faithful:
        skipped = min(skipped * len(ranked) // 20, max(len(ranked) - 1, 0))
        kept = max(1, kept * len(ranked) // 20)
    positive = sum(a * b for a, b in zip(feature, directions[own], strict=True)) / config.temperature
    return -positive + math.log(math.exp(positive) + sum(math.exp(s) for s in ranked[skipped : skipped + kept]))


def loss_pixel_by_pixel(config: PpcConfig, pixels: Pixels) -> float:
    """The intra-view loss with a loop over labels and pixels."""
    labels = [label if label >= 0 and pixels.present[label] else IGNORE for label in pixels.labels.tolist()]
    means = []
    for label in sorted(set(labels) - {IGNORE}):
        members = [i for i, other in enumerate(labels) if other == label]
        half, last = len(members) // 2, int(config.hard_fraction * len(members))
        hard = sorted(members, key=lambda i: float(pixels.likeness[i]))[last - half : last]
        random = sorted(members, key=lambda i: float(pixels.draws[i]))[:half]
        losses = [loss_of_pixel(config, pixels, i) for i in hard + random]
        means.append(sum(losses) / len(losses) if losses else 0.0)
    return sum(means) / len(means)


@pytest.mark.parametrize("mining", [{}, {"skipped_prototypes": 1, "kept_prototypes": 2}, {"hard_fraction": 0.8}])
@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_intra_view_loss_is_that_of_a_loop_over_pixels(faithful, mining, seed):
    ppc = method(faithful=faithful, **mining)
    for pixels in views_of(ppc, seed):
        assert intra_loss(ppc.config, pixels).item() == pytest.approx(loss_pixel_by_pixel(ppc.config, pixels), rel=1e-5)


def test_the_published_negatives_may_hold_the_prototype_itself():
    ppc = method(skipped_prototypes=0, kept_prototypes=2)
    pixels = views_of(ppc)[0]
    own, published = (
        intra_losses(ppc.config.model_copy(update={"faithful": faithful}), pixels, pixels.labels.clamp_min(0)).mean()
        for faithful in (False, True)
    )
    assert own != published


# ── what is degenerate, and what would be slow ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"maps": torch.zeros(3, CLASSES, 6, 7)},
        {"maps": torch.ones(3, CLASSES, 6, 7)},
        {"embedding": torch.zeros(3, 16, 6, 7)},
        {"background": torch.zeros(3, 1, 6, 7)},
    ],
    ids=["no map", "flat maps", "no feature", "no background"],
)
def test_losses_and_gradients_of_degenerate_views_are_finite(change, faithful):
    ppc = method(faithful=faithful, background=0.0)
    view = replace(activation(), **change)
    losses = ppc.view_losses([view, view], batch())
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.isfinite() for value in losses.values())
    assert ppc.fc_proj.weight.grad.isfinite().all()


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("tags", [torch.zeros(1, CLASSES), torch.ones(1, CLASSES)])
@pytest.mark.parametrize("size", [8, 40])
def test_small_images_without_or_with_all_tags(size, tags, faithful):
    ppc = method(faithful=faithful)
    losses = ppc.losses(batch(size, tags))
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.isfinite() for value in losses.values())
    assert ppc.fc_proj.weight.grad.isfinite().all()


def test_where_all_is_padding_nothing_is_contrasted():
    ppc, step = method(), batch()
    losses = ppc.losses(replace(step, valid=torch.zeros_like(step.valid)))
    assert [losses[name].item() for name in CONTRAST] == [0, 0, 0]
    torch.stack(list(losses.values())).sum().backward()
    assert ppc.fc_proj.weight.grad.isfinite().all()


def test_the_contrast_is_made_in_float32_under_autocast():
    ppc, step = method(), batch()
    full = ppc.losses(step)
    with torch.autocast("cpu", torch.bfloat16):
        half = ppc.losses(step)
    for name in CONTRAST:
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], full[name], rtol=0.2, atol=0)


class Waiting(TorchDispatchMode):
    """Notes operations whose result an accelerator's host has to wait for."""

    NAMES = ("item", "_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "_to_copy", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = function.__name__.split(".")[0].removeprefix("_unsafe_")
        masks = [index for index in arguments[1] if index is not None] if name.startswith("index") else []
        moved = name != "_to_copy" or (keywords or {}).get("device") is not None
        if (name in self.NAMES and moved) or any(getattr(mask, "dtype", None) == torch.bool for mask in masks):
            self.found.append(function.__name__)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("faithful", [False, True])
def test_nothing_waits_for_an_accelerator(faithful):
    ppc, step = method(faithful=faithful, warmup_steps=3), batch()
    with Waiting() as waiting:
        torch.stack(list(ppc.losses(step).values())).sum().backward()
    assert waiting.found == []
    with Waiting() as waiting:
        torch.arange(3)[torch.tensor([True, False, True])].sum().item()
    assert len(waiting.found) == 2


def test_the_projector_fits_the_backbone():
    assert method(width=5).fc_proj.weight.shape == (5, TinyBackbone.levels[-1].channels, 1, 1)
