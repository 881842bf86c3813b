"""The first steps of every training on tiny networks, in numbers: what was learned from what, and how far.

Each of ``CASES`` is trained for four steps by ``engine.train`` itself, through the samples, losses, parameter groups,
clipping and schedule of a real training, in float64. A trajectory holds every loss term of each step, and for every
tensor of the network that changed the length of its change and the change along a fixed random direction.
``golden/make.py`` stores trajectories, ``test_trajectories.py`` walks them again.

Nothing in them depends on the machine: images and masks are made of whole numbers, the backbone's weights are a
function of their place, and dropout draws from ``torch.rand``, as ``bernoulli_`` draws otherwise on other processors.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from tagmask.affinity import build_affinity_net
from tagmask.config import (
    AffinityConfig,
    AffinityNetConfig,
    AugmentConfig,
    CamConfig,
    EpsConfig,
    EquivarianceConfig,
    IrnConfig,
    MethodConfig,
    PowerLabels,
    PpcConfig,
    PyramidConfig,
    SeamConfig,
    SegmenterConfig,
    SipeConfig,
    ThresholdLabels,
    TrainingConfig,
)
from tagmask.contracts import Backbone, Dataset, Images, Level, Normalization, Record, Trainable
from tagmask.conventions import IGNORE
from tagmask.data.images import write_mask
from tagmask.methods import build_method
from tagmask.networks.backbones.freezing import freeze
from tagmask.networks.deeplab import DeepLab
from tagmask.stages.affinity import certain
from tagmask.system.storage import write_posteriors
from tagmask.training import engine
from tagmask.training.samples import LabelSamples, MaskSamples, PosteriorSamples, Sample, Samples, TagSamples

SEED = 11
STEPS = 4
CROP = 64
CLASSES = ("square", "bar", "line")
FOLDER = Path(__file__).parent / "golden" / "trajectories"

Settings = MethodConfig | AffinityConfig | SegmenterConfig
Trajectory = dict[str, Any]


# ── what is trained ──────────────────────────────────────────────────────────────────────────────────────────────────

SGD = TrainingConfig(
    steps=STEPS,
    batch_size=4,
    rate=0.02,
    momentum=0.9,
    weight_decay=0.01,
    augment=AugmentConfig(crop=CROP, jitter=None),
    workers=0,
    log_every=1,
)
PUBLISHED = SGD.model_copy(update={"momentum": 5e-4, "rate": 0.05})
CLIPPED = PUBLISHED.model_copy(update={"clip_norm": 1.0, "decay": "all", "bias_factor": 1.0})
ADAMW = SGD.model_copy(update={"optimizer": "adamw", "rate": 0.001, "schedule": "cosine", "warmup_steps": 2})
IN_PARTS = SGD.model_copy(update={"accumulation": 2})
BY_TWOS = IN_PARTS.model_copy(update={"rate_every": 2})
AVERAGED = ADAMW.model_copy(update={"average": 0.2, "sampling": "balanced"})

_SEAM = SeamConfig(equivariance=EquivarianceConfig(widths=(4, 6), correlation_width=12))
_SIPE = SipeConfig(widths=(4, 6, 8))
_PYRAMID = PyramidConfig(width=8, sharpness=2.5)
_AFFINITY = AffinityNetConfig.model_validate(
    {"stride": 4, "widths": (4, 6, 8), "labels": PowerLabels(), "training": SGD}
)
_IRN = IrnConfig.model_validate(
    {"radius": 5, "edge_width": 4, "displacement_width": 64, "labels": ThresholdLabels(), "training": SGD}
)


def _ppc(base: MethodConfig, **settings: Any) -> PpcConfig:
    return PpcConfig.model_validate({"base": base, "width": 8, **settings})


def _head(kind: str, **settings: Any) -> SegmenterConfig:
    return SegmenterConfig.model_validate({"kind": kind, "width": 8, "low_level_width": 8, "training": SGD, **settings})


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes:
        settings: of the network.
        training: how it is trained.
        frozen_stages: of the backbone.
        batch_norm: of the backbone.
    """

    settings: Settings
    training: TrainingConfig
    frozen_stages: int = 1
    batch_norm: str = "frozen"


CASES: Mapping[str, Case] = {
    "cam": Case(CamConfig(), PUBLISHED),
    "cam-ppc": Case(_ppc(CamConfig(), warmup_steps=2), SGD, batch_norm="fixed"),
    "seam": Case(_SEAM, PUBLISHED),
    "seam-ppc": Case(_ppc(_SEAM), PUBLISHED),
    "seam-ppc-faithful": Case(_ppc(_SEAM, faithful=True), PUBLISHED),
    "eps": Case(EpsConfig(), PUBLISHED),
    "eps-ppc": Case(_ppc(EpsConfig(), base_losses="all_views"), PUBLISHED),
    "eps-ppc-faithful": Case(
        _ppc(
            EpsConfig(
                background="ignored", equivariance=_SEAM.equivariance, refined_saliency=True, background_last=True
            ),
            faithful=True,
            background=0.1,
        ),
        PUBLISHED,
    ),
    "sipe": Case(_SIPE, CLIPPED, batch_norm="fixed"),
    "sipe-ppc": Case(_ppc(_SIPE), CLIPPED, batch_norm="fixed"),
    "pyramid": Case(_PYRAMID, ADAMW, frozen_stages=0, batch_norm="train"),
    "pyramid-ppc": Case(_ppc(_PYRAMID), ADAMW, frozen_stages=0),
    "affinitynet": Case(_AFFINITY, PUBLISHED),
    "irn": Case(_IRN, CLIPPED),
    "deeplab_v1": Case(_head("deeplab_v1", rates=(2,), dropout=0.5), SGD),
    "deeplab_v2": Case(_head("deeplab_v2", rates=(1, 2, 3, 4), dropout=0.1), IN_PARTS),
    "deeplab_v1-published": Case(
        _head("deeplab_v1", rates=(2,), head={"weights": "kaiming_fan_out", "batch_norm": "statistics"}),
        SGD,
        0,
        "train",
    ),
    "deeplab_v2-published": Case(_head("deeplab_v2", rates=(1, 2), maximum_over=(1.0, 0.75, 0.5)), BY_TWOS),
    "deeplab_v3": Case(_head("deeplab_v3", rates=(1, 2)), SGD),
    "deeplab_v3plus": Case(_head("deeplab_v3plus", rates=(1, 2), tag_weight=0.5), AVERAGED, 0, "train"),
    "semantic_fpn": Case(_head("semantic_fpn", dice_weight=0.5, padding="cut"), ADAMW, 0),
}


def build(case: Case) -> Trainable:
    """The network of a case; its new layers are drawn as a run draws them."""
    backbone = TinyResidual()
    freeze(backbone, case.frozen_stages, case.batch_norm)  # pyright: ignore[reportArgumentType]
    torch.manual_seed(SEED)
    if isinstance(case.settings, SegmenterConfig):
        return DeepLab(case.settings, backbone, len(CLASSES))
    if isinstance(case.settings, AffinityConfig):
        return build_affinity_net(case.settings, backbone)
    return build_method(case.settings, backbone, len(CLASSES))


class TinyResidual(Backbone):
    """Three levels of strides 4, 8 and 8, each of convolution with bias, normalisation and ReLU; the last adds up."""

    levels = (Level(8, 4), Level(12, 8), Level(12, 8))
    normalization = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 8, 4), (8, 12, 2), (12, 12, 1))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inner, out, 3, stride, padding=1), nn.BatchNorm2d(out))
            for inner, out, stride in sizes
        )
        for number, (name, tensor) in enumerate(self.state_dict().items()):
            if tensor.is_floating_point():
                values = torch.sin(1.7 * torch.arange(tensor.numel()) + number).reshape(tensor.shape)
                scale = 1 if tensor.ndim < 2 else math.sqrt(4 / tensor[0].numel())
                tensor.copy_(1 + 0.2 * values if name.endswith(("1.weight", "var")) else 0.3 * scale * values)

    def forward_levels(self, images: Images) -> list[Tensor]:
        """All levels, finest first."""
        fine = torch.relu(self.blocks[0](images))
        middle = torch.relu(self.blocks[1](fine))
        return [fine, middle, torch.relu(self.blocks[2](middle) + middle)]

    def stages(self) -> list[list[nn.Module]]:
        """Each block is a stage."""
        return [[block] for block in self.blocks]


# ── what it is trained on ────────────────────────────────────────────────────────────────────────────────────────────


class Rectangles(Dataset):
    """Eight images of noise with up to two coloured rectangles, one without any; smaller than a crop on one side."""

    name = "rectangles"
    classes = CLASSES
    tags = ((0,), (1,), (2,), (0, 1), (1, 2), (), (0, 2), (1,))
    size = (60, 72)
    sides = ((30, 30), (18, 44), (40, 14))

    def __init__(self) -> None:
        self.records = tuple(Record(f"{i}", tags, "train", has_mask=True) for i, tags in enumerate(self.tags))

    def _random(self, record: Record) -> np.random.Generator:
        return np.random.default_rng(int(record.id))

    def read_mask(self, record: Record) -> np.ndarray:
        """Rectangles of the tags, the later in front; a column without label at the left."""
        random, mask = self._random(record), np.zeros(self.size, np.int32)
        for tag in record.tags:
            height, width = self.sides[tag]
            top, left = random.integers(self.size[0] - height), random.integers(self.size[1] - width)
            mask[top : top + height, left : left + width] = tag + 1
        mask[:, :2] = IGNORE
        return mask

    def read_image(self, record: Record) -> np.ndarray:
        """Noise, darker or lighter in the channel of the class."""
        mask = self.read_mask(record)
        image = self._random(record).integers(60, 120, (*self.size, 3))
        for tag in record.tags:
            image[mask == tag + 1, tag] += 110
        return image.astype(np.uint8)

    def saliency(self, record: Record) -> np.ndarray:
        """High on rectangles."""
        return np.where(self.read_mask(record) > 0, 0.875, 0.125)

    def image_path(self, record: Record) -> None:
        """None: there are no files."""


@dataclass(frozen=True)
class InDouble(Samples):
    """Samples that are made in float32, as always, and handed on in float64."""

    inner: Samples

    def __len__(self) -> int:
        return len(self.inner)

    def groups(self) -> list[list[int]]:
        """As they are."""
        return self.inner.groups()

    def sample(self, seed: int, epoch: int, index: int) -> Sample:
        """The same view."""
        with _floats(torch.float32):
            found = self.inner.sample(seed, epoch, index)
        saliency = None if found.saliency is None else found.saliency.double()
        return replace(found, image=found.image.double(), tags=found.tags.double(), saliency=saliency)


def samples(case: Case, folder: Path) -> Samples:
    """The samples that a stage makes for such a network; confident labels are written to a folder."""
    data = Rectangles()
    views = data, data.records, case.training.augment, TinyResidual.normalization
    if isinstance(case.settings, SegmenterConfig):
        return InDouble(MaskSamples(*views, masks=lambda record, _: data.read_mask(record)))
    if not isinstance(case.settings, AffinityConfig):
        return InDouble(TagSamples(*views, saliency=data.saliency))
    powers = case.settings.labels.kind == "powers"
    for record in data.records:
        mask = data.read_mask(record)
        if powers:
            low, high, classes = certain(mask)
            write_posteriors(folder / f"{record.id}.npz", {"low": low, "high": high}, classes[1:])
        else:
            write_mask(folder / f"{record.id}.png", mask, 255, len(CLASSES))
    stride = case.settings.stride
    if powers:
        return InDouble(PosteriorSamples(*views, folder=folder, stride=stride))
    return InDouble(LabelSamples(*views, folder=folder, ignore_value=255, stride=stride))


# ── walking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def walk(case: Case) -> Trajectory:
    """Train a case; its losses in each step, and the changes of its tensors.

    Returns:
        ``losses``: of each term in each step; ``changes``: of each tensor that changed, in each step its length and
        its component along a fixed direction; ``unchanged``: the other tensors.
    """
    with TemporaryDirectory() as name, _floats(torch.float64), _portable_dropout():
        folder = Path(name)
        network = build(case)
        states = [_state(network)]
        hook = register_optimizer_step_post_hook(lambda *_: states.append(_state(network)))
        try:
            engine.train(network, samples(case, folder), case.training, seed=SEED, folder=folder, stage="golden")
        finally:
            hook.remove()
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        states[-1] = _state(network)  # what is handed over: an average, where one is kept
    losses = {term: [line["losses"][term] for line in lines] for term in lines[0]["losses"]}
    changes = {name: _changes([state[name] for state in states]) for name in states[0]}
    moved = {name: each for name, each in changes.items() if any(length for length, _ in each)}
    return {"losses": losses, "changes": moved, "unchanged": sorted(changes.keys() - moved.keys())}


def _state(network: Trainable) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in network.state_dict().items() if each.is_floating_point()}


def _changes(states: Sequence[Tensor]) -> list[tuple[float, float]]:
    """Length and component of the change from each state to the next."""
    direction = torch.from_numpy(np.random.default_rng(SEED).integers(-4, 5, states[0].shape)).double()
    differences = [after - before for before, after in pairwise(states)]
    return [(float(each.norm()), float((each * direction).sum())) for each in differences]


@contextmanager
def _floats(dtype: torch.dtype) -> Iterator[None]:
    """What is new, and what asks for float32 so that mixed precision does it no harm, gets this precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with patch.object(Tensor, "float", lambda values: values.to(dtype)):
            yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _portable_dropout() -> Iterator[None]:
    """Dropout that draws alike on every processor."""

    def dropping(whole: Callable[[Tensor], tuple[int, ...]]) -> Callable[..., Tensor]:
        def drop(values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
            return values * (torch.rand(whole(values)) >= p) / (1 - p) if training and p else values

        return drop

    with ExitStack() as stack:
        stack.enter_context(patch.object(F, "dropout", dropping(lambda values: tuple(values.shape))))
        stack.enter_context(patch.object(F, "dropout2d", dropping(lambda values: (*values.shape[:2], 1, 1))))
        yield


# ── comparing ────────────────────────────────────────────────────────────────────────────────────────────────────────

RELATIVE = 1e-6  # rounding in float64 and, in one mean, in float32 stays below; one per cent of a loss is far above
ABSOLUTE = 1e-9


def differences(found: Trajectory, expected: Trajectory) -> list[str]:
    """A line for each number that is not what is expected, and for each name that is missing or new."""
    lines = [*_names("loss", found["losses"], expected["losses"])]
    lines += _names("tensor that changes", found["changes"], expected["changes"])
    lines += _names("tensor that does not change", found["unchanged"], expected["unchanged"])
    for term in found["losses"].keys() & expected["losses"].keys():
        pairs = zip(found["losses"][term], expected["losses"][term], strict=True)
        lines += [f"loss {term}, step {i + 1}: {a:.7g}, not {b:.7g}" for i, (a, b) in enumerate(pairs) if _far(a, b, b)]
    for name in found["changes"].keys() & expected["changes"].keys():
        pairs = zip(found["changes"][name], expected["changes"][name], strict=True)
        for i, (ours, theirs) in enumerate(pairs):
            if any(_far(a, b, theirs[0]) for a, b in zip(ours, theirs, strict=True)):
                lines.append(f"{name}, step {i + 1}: changes by {ours[0]:.7g}, not {theirs[0]:.7g}")
    return sorted(lines)


def _names(
    what: str, found: Sequence[str] | Mapping[str, Any], expected: Sequence[str] | Mapping[str, Any]
) -> list[str]:
    return [
        *(f"{what}: {name} is missing" for name in set(expected) - set(found)),
        *(f"{what}: {name} is new" for name in set(found) - set(expected)),
    ]


def _far(ours: float, theirs: float, scale: float) -> bool:
    return abs(ours - theirs) > ABSOLUTE + RELATIVE * max(abs(theirs), abs(scale))
