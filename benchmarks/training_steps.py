"""Training steps of SEAM, EPS and PPC: ``python benchmarks/training_steps.py [--json FILE]``.

Whole steps (losses, backward pass, optimiser) of SEAM and EPS are compared with the passes of their networks alone: the
same views through backbone, classifier and correlation module, the backward pass of a plain sum, the same optimiser.
PPC is measured around the very SEAM it is compared with. What it adds is told twice: the difference of two whole steps,
and projector, labels, prototypes, three losses and their backward pass alone, on activations that are already there.

That contrast is then compared with Python loops, over the pixels and, as published, over the classes. The published
code also draws prototypes at random for every pixel, which nothing looks at; that is timed apart. Losses and gradients
must be equal for the same random pixels before anything is timed.

Sizes are small on CPUs and the published ones on an accelerator. Weights are random: speed does not depend on them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from contrast_by_loops import LOOPS, PixelLosses, least_of, loop_losses, unread_samples
from jaxtyping import Float
from measuring import Row, in_turn, print_figures
from torch import Tensor
from torch.nn import functional as F

from tagmask.config import (
    AnyBackbone,
    AugmentConfig,
    CamConfig,
    EpsConfig,
    PpcConfig,
    Resnet38dBackbone,
    SeamConfig,
    TimmBackbone,
    TrainingConfig,
)
from tagmask.contracts import Activation, Batch, Images, Losses, Method, ParameterGroup
from tagmask.methods import build_method
from tagmask.methods.ppc import Ppc
from tagmask.networks.backbones import build_backbone
from tagmask.networks.memory_format import channels_last
from tagmask.training import engine

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLASSES = 20
TAGS_PER_IMAGE = (1, 1, 2, 1, 1, 3, 1, 2)  # about as PASCAL VOC has them
LOSSES_LOOK_AT = ("logits", "scores", "refined")


@dataclass(frozen=True)
class Setting:
    """A network and what it is shown."""

    name: str
    backbone: AnyBackbone
    batch: int
    pixels: int
    repeats: int


def timm_backbone(model: str, stride: Any) -> TimmBackbone:
    return TimmBackbone(model=model, weights="none", batch_norm="frozen", output_stride=stride)


WIDE_RESNET = Resnet38dBackbone(weights="none")
ON_CPU = (
    Setting("MobileNetV2, stride 16", timm_backbone("mobilenetv2_100", 16), batch=16, pixels=257, repeats=9),
    Setting("ResNet-18, stride 8", timm_backbone("resnet18", 8), batch=8, pixels=224, repeats=7),
    Setting("Wide ResNet-38, stride 8", WIDE_RESNET, batch=4, pixels=112, repeats=5),
)
ON_ACCELERATOR = (
    Setting("MobileNetV2, stride 16", timm_backbone("mobilenetv2_100", 16), batch=16, pixels=257, repeats=15),
    Setting("Wide ResNet-38, stride 8", WIDE_RESNET, batch=8, pixels=448, repeats=15),
)

BATCH, GRID, WIDTH = 8, (16, 16), 128  # of the contrast that is compared with loops
PIXELS = BATCH * GRID[0] * GRID[1]
CONTRAST_REPEATS = 5


def run() -> Iterator[Row]:
    """All figures: seconds are medians of all members in turn."""
    yield "device", "cpu" if DEVICE.type == "cpu" else torch.cuda.get_device_name()
    yield "torch_threads", torch.get_num_threads()
    for place, setting in enumerate(ON_CPU if DEVICE.type == "cpu" else ON_ACCELERATOR):
        yield f"steps.{place}", compare_steps(setting)
    yield "contrast", compare_contrasts()


def finished(function: Callable[[], object]) -> Callable[[], None]:
    """The function, and then the wait until the accelerator has done what it asked for."""

    def wait() -> None:
        function()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return wait


# ── whole steps ──────────────────────────────────────────────────────────────────────────────────────────────────────


def compare_steps(setting: Setting) -> dict[str, Any]:
    """Steps against passes, and what PPC adds to a step; all methods share one backbone."""
    torch.manual_seed(0)
    batch, backbone = example(setting.batch, setting.pixels), build_backbone(setting.backbone)
    seam, eps = (on_device(build_method(config, backbone, CLASSES)) for config in (SeamConfig(), EpsConfig()))
    ppc = on_device(Ppc(PpcConfig(base=SeamConfig()), seam))
    members = (passes(seam, batch), step(seam, batch), passes(eps, batch), step(eps, batch), step(ppc, batch))
    seconds = in_turn(*map(finished, (*members, contrast_part(seam, batch))), repeats=setting.repeats)
    seam_passes, seam_step, eps_passes, eps_step, ppc_step, contrast = seconds
    return {
        "network": setting.name,
        "batch": setting.batch,
        "pixels": setting.pixels,
        "seam": {"step_seconds": seam_step, "passes_seconds": seam_passes, "ratio": seam_step / seam_passes},
        "eps": {"step_seconds": eps_step, "passes_seconds": eps_passes, "ratio": eps_step / eps_passes},
        "ppc_on_seam": {
            "step_seconds": ppc_step,
            "contrast_seconds": contrast,
            "contrast_share": contrast / seam_step,
            "added_share": (ppc_step - seam_step) / seam_step,
        },
    }


def on_device(method: Method) -> Method:
    return method.train().to(DEVICE, memory_format=torch.channels_last)


def example(count: int, pixels: int) -> Batch:
    """Square images of noise with tags, and saliency maps of smooth objects."""
    size = (pixels, pixels)
    saliency = F.interpolate(torch.rand(count, 1, 5, 5), size, mode="bilinear").gt(0.5).float()
    return Batch(
        ids=tuple(map(str, range(count))),
        images=channels_last(torch.randn(count, 3, *size)),
        tags=example_tags(count),
        valid=torch.ones(count, *size, dtype=torch.bool),
        saliency=saliency,
    ).to(DEVICE)


def example_tags(count: int) -> Float[Tensor, "b c"]:
    tags = torch.zeros(count, CLASSES)
    for image in range(count):
        tags[image, torch.randperm(CLASSES)[: TAGS_PER_IMAGE[image % len(TAGS_PER_IMAGE)]]] = 1
    return tags


def updates(method: Method, value: Callable[[], Tensor]) -> Callable[[], None]:
    """An optimiser step that lowers a value, too small to change the weights."""
    config = TrainingConfig(steps=10, rate=1e-20, augment=AugmentConfig(crop=1))
    optimizer = engine.build_optimizer(method.parameter_groups(), config)

    def update() -> None:
        optimizer.zero_grad(set_to_none=True)
        value().backward()
        optimizer.step()

    return update


def step(method: Method, batch: Batch) -> Callable[[], None]:
    """One training step."""
    assert all(value.isfinite() for value in method.losses(batch).values())
    return updates(method, lambda: torch.stack(list(method.losses(batch).values())).sum())


def passes(method: Method, batch: Batch) -> Callable[[], None]:
    """The same with the sum of all that losses look at in their place."""
    views = method.views(batch.images)

    def value() -> Tensor:
        activations = [method(view) for view in views]
        found = [getattr(activation, name, None) for activation in activations for name in LOSSES_LOOK_AT]
        return torch.stack([grid.sum() for grid in found if grid is not None]).sum()

    return updates(method, value)


# ── the contrast alone ───────────────────────────────────────────────────────────────────────────────────────────────


class Untaught(Method):
    """A method without losses, whose activations are given: PPC around it is the contrast alone.

    Args:
        channels: of the embedding.
        map_normalization: of the method that the activations are of.
    """

    num_views = 2
    num_classes = CLASSES

    def __init__(self, channels: int, map_normalization: Any = "max") -> None:
        super().__init__()
        self.backbone: Any = SimpleNamespace(channels=channels)
        self.map_normalization = map_normalization

    def views(self, images: Images) -> list[Images]:
        """No view is looked at."""
        raise NotImplementedError

    def forward(self, images: Images) -> Activation:
        """As ``views``."""
        raise NotImplementedError

    def view_losses(self, activations: list[Activation], batch: Batch) -> Losses:  # noqa: ARG002 - nothing is taught
        """None."""
        return {}

    def parameter_groups(self) -> list[ParameterGroup]:
        """None."""
        return []


def contrast_part(base: Method, batch: Batch) -> Callable[[], object]:
    """Projector, labels, prototypes and losses of PPC, and the gradients of projector and embeddings."""
    activations = [learning(base(view)) for view in base.views(batch.images)]
    untaught = Untaught(base.backbone.channels, base.map_normalization)
    ppc = on_device(Ppc(PpcConfig(base=SeamConfig()), untaught))
    return lambda: gradients(ppc.view_losses(activations, batch), ppc, activations)


def learning(activation: Activation) -> Activation:
    """The same numbers, of which nothing but the embedding learns."""
    found = {field.name: getattr(activation, field.name) for field in fields(activation)}
    values = {name: grid.detach() for name, grid in found.items() if grid is not None}
    return replace(activation, **values | {"embedding": values["embedding"].requires_grad_()})


def gradients(losses: Losses, ppc: Ppc, activations: list[Activation]) -> tuple[Tensor, ...]:
    """Of the projector and of each view's embedding."""
    learners = [ppc.fc_proj.weight, *(found.embedding for found in activations)]
    return torch.autograd.grad(torch.stack(list(losses.values())).sum(), learners)


def compare_contrasts() -> dict[str, Any]:
    """The contrast of two views of one grid against Python loops; ``own_data`` is PPC's default, not ``faithful``."""
    torch.manual_seed(0)
    activations, batch = example_activations()
    published, own_data = (
        Ppc(PpcConfig(base=CamConfig(), faithful=faithful), Untaught(WIDTH)).to(DEVICE) for faithful in (True, False)
    )
    agreement = {name: differences(published, activations, batch, form) for name, form in LOOPS.items()}
    assert all(found < 1e-4 for pair in agreement.values() for found in pair.values()), agreement

    def member(find: Callable[[], Losses], ppc: Ppc = published) -> Callable[[], None]:
        return finished(lambda: gradients(find(), ppc, activations))

    seconds = in_turn(
        member(lambda: published.view_losses(activations, batch)),
        member(lambda: own_data.view_losses(activations, batch), own_data),
        *(member(partial(loop_losses, published, activations, batch, form)) for form in LOOPS.values()),
        finished(lambda: unread_samples(2 * PIXELS, CLASSES + 1, published.config)),
        repeats=CONTRAST_REPEATS,
    )
    ours, default, *loops, samples = seconds
    return {
        "batch": BATCH,
        "grid": GRID,
        "channels": CLASSES + 1,
        "features": WIDTH,
        "seconds": ours,
        "own_data_seconds": default,
        "unread_samples_seconds": samples,
    } | {
        name: {"seconds": taken, "times_faster": taken / ours} | agreement[name]
        for name, taken in zip(LOOPS, loops, strict=True)
    }


def example_activations() -> tuple[list[Activation], Batch]:
    """Two views with smooth maps, and the batch they could be of."""
    embeddings = (torch.randn(BATCH, WIDTH, *GRID, device=DEVICE, requires_grad=True) for _ in range(2))
    maps = (F.interpolate(torch.rand(BATCH, CLASSES, 5, 5, device=DEVICE), GRID, mode="bilinear") for _ in range(2))
    logits = torch.zeros(BATCH, CLASSES, device=DEVICE)
    found = [Activation(logits, grid**3, None, embedding) for grid, embedding in zip(maps, embeddings, strict=True)]
    return found, example(BATCH, 128)


def differences(
    ppc: Ppc, activations: list[Activation], batch: Batch, form: tuple[PixelLosses, PixelLosses]
) -> dict[str, float]:
    """Largest difference of a loss and of a gradient for the same random pixels, as shares of the largest of them."""
    torch.manual_seed(1)
    ours = ppc.view_losses(activations, batch)
    torch.manual_seed(1)
    first, second = (least_of(torch.rand(PIXELS, device=DEVICE).tolist()) for _ in range(2))
    theirs = loop_losses(ppc, activations, batch, form, (first, second))
    slopes, other_slopes = (
        torch.cat([x.flatten() for x in gradients(found, ppc, activations)]) for found in (ours, theirs)
    )
    values, other_values = (torch.stack([found[name].detach() for name in ours]) for found in (ours, theirs))
    return {
        "largest_difference": float((values - other_values).abs().max() / values.max()),
        "largest_gradient_difference": float((slopes - other_slopes).abs().max() / slopes.abs().max()),
    }


if __name__ == "__main__":
    print_figures(run, __doc__)
