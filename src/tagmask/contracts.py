"""The architecture on one page: pixel conventions, records, and the base classes everything plugs into.

Dimension letters, used in every signature of the package:

    b  batch                    h w  image rows and columns
    c  classes, no background   p q  rows and columns of a feature grid
    k  c + 1, background first  d    feature channels
    n  anything listed          s    source pairs / offsets

Conventions: RGB; images ``uint8 h w 3`` in arrays, ``float 3 h w`` in tensors; rows before columns; background is class
and channel 0; pixels without a label are ``IGNORE`` (-1) in memory; resizing has ``align_corners=False``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32, UInt8
from torch import Tensor, nn

from tagmask.config.affinity import AffinityConfig
from tagmask.config.methods import MethodConfig

Images = Float[Tensor, "b 3 h w"]
Tags = Float[Tensor, "b c"]
Masks = Int[Tensor, "b h w"]
Losses = dict[str, Float[Tensor, ""]]
ImageArray = UInt8[np.ndarray, "h w 3"]
MaskArray = Int32[np.ndarray, "h w"]


@dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        ids: name of each image.
        images: normalised pixels, ``b 3 h w``.
        tags: 1 where the image carries the class, else 0, ``b c``, no background.
        valid: False on padding, ``b h w``.
        masks: class per pixel, ``IGNORE`` unlabelled, ``b h w``; in affinity training confident labels, ``b p q``.
        saliency: object-ness per pixel in [0, 1], ``b 1 h w``, for methods that use it.
        boxes: rows and columns of each image that are more than padding, found by the loader: asking a device waits.
        most_tags: how many tags the image with most of them carries, counted by the loader likewise.
    """

    ids: tuple[str, ...]
    images: Images
    tags: Tags
    valid: Bool[Tensor, "b h w"]
    masks: Int[Tensor, "b _ _"] | None = None
    saliency: Float[Tensor, "b 1 h w"] | None = None
    boxes: tuple[tuple[slice, slice], ...] | None = None
    most_tags: int | None = None

    def to(self, device: torch.device) -> "Batch":
        """Copy every tensor to ``device``; names stay where they are."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Copy every tensor to page-locked memory, from which ``to`` need not wait; loaders call this."""
        return self._with_tensors(Tensor.pin_memory)

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(self, **{name: change(each) for name, each in vars(self).items() if isinstance(each, Tensor)})


@dataclass(frozen=True)
class Activation:
    """What one forward pass of a method yields, in training and at inference alike.

    Attributes:
        logits: class scores before the sigmoid, ``b c``.
        maps: non-negative evidence of each class on the feature grid, ``b c p q``, in a unit of the method's own.
        background: evidence of the background, ``b 1 p q``, from methods that learn one; else None: a rule derives it.
        embedding: the feature grid the maps are read from, ``b d p q``.
        refined: maps after a pixel correlation module, background first, ``b k p q``; None without one.
    """

    logits: Float[Tensor, "b c"]
    maps: Float[Tensor, "b c p q"]
    background: Float[Tensor, "b 1 p q"] | None
    embedding: Float[Tensor, "b d p q"]
    refined: Float[Tensor, "b k p q"] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Neighbourhood:
    """What an affinity network says about an image, for a random walk.

    Attributes:
        affinities: in [0, 1], of each cell to its partner at each of ``offsets``, ``b s p q``; 0 without a pair.
        passable: factor in [0, 1] on the maps before they walk, ``b 1 p q``; None: they walk as they are.
    """

    affinities: Float[Tensor, "b s p q"]
    passable: Float[Tensor, "b 1 p q"] | None = None


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and a weight decay.

    Attributes:
        parameters: trainable parameters.
        new: whether the layer starts from random numbers; the recipe's ``head_factor`` then applies.
        kind: biases learn at ``bias_factor`` times their layer's rate; by default only weights decay.
        rate_factor: a further factor of this group alone.
    """

    parameters: list[nn.Parameter]
    new: bool
    kind: Literal["weight", "bias", "norm"]
    rate_factor: float = 1.0


class Level(NamedTuple):
    """One feature level of a backbone: its channels and its stride in pixels."""

    channels: int
    stride: int


@dataclass(frozen=True)
class Normalization:
    """Per-channel mean and standard deviation on RGB / 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def apply(self, image: ImageArray) -> Float[Tensor, "3 h w"]:
        """Turn a photograph into the tensor a backbone expects."""
        pixels = torch.tensor(image).permute(2, 0, 1).contiguous().float().div_(255.0)
        return pixels.sub_(torch.tensor(self.mean)[:, None, None]).div_(torch.tensor(self.std)[:, None, None])


class Backbone(nn.Module, ABC):
    """Images in, feature grids out, finest first.

    Attributes:
        levels: channels and stride of each grid that ``forward_levels`` returns, in order; the last is the deepest.
        normalization: how photographs must be normalised for these weights.
        multiple: images whose sides are no multiples of this are enlarged to the next one; 1: any size is as good.
        signed: whether features of the deepest level may be negative; False behind a ReLU.
    """

    levels: tuple[Level, ...]
    normalization: Normalization
    multiple: int = 1
    signed: bool = True

    @property
    def channels(self) -> int:
        """Channels of the deepest level."""
        return self.levels[-1].channels

    @property
    def stride(self) -> int:
        """Stride in pixels of the deepest level."""
        return self.levels[-1].stride

    @abstractmethod
    def forward_levels(self, images: Images) -> list[Float[Tensor, "b _ _ _"]]:
        """All levels, each ``b d ceil(h/stride) ceil(w/stride)``."""

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """The modules of each stage from the input on: what ``frozen_stages`` counts."""

    @final
    def forward(self, images: Images) -> Float[Tensor, "b d p q"]:
        """The deepest level."""
        return self.forward_levels(images)[-1]


class Trainable(nn.Module, ABC):
    """All that the engine knows: named losses and parameter groups; a step has two halves, for batches in parts."""

    @abstractmethod
    def outputs(self, batch: Batch) -> Any:
        """Tensors, or a dataclass, list or tuple of them, all with the batch first; images do not see each other."""

    @abstractmethod
    def losses_from(self, outputs: Any, batch: Batch) -> Losses:
        """Every term, weighted and named, of the outputs of a batch; the engine minimises their sum."""

    @final
    def losses(self, batch: Batch) -> Losses:
        """Both halves of a step."""
        return self.losses_from(self.outputs(batch), batch)

    @abstractmethod
    def parameter_groups(self) -> list[ParameterGroup]:
        """Each trainable parameter in exactly one group."""

    def prepare_training(self, steps: int) -> None:
        """Be told, before the first step or the first one after an interruption, how many steps there are in all."""


AnyActivation = TypeVar("AnyActivation", bound=Activation)


class Method(Trainable, Generic[AnyActivation]):
    """A classifier whose activation maps find the objects: one forward pass for training and inference.

    Built from settings, backbone and number of classes. A method that knows more of an image names its own activation.

    Attributes:
        config_type: the class of its settings, whose ``kind`` is its name in recipes.
        backbone: where the features come from.
        num_classes: classes without background.
        num_views: how many views of a batch one training step looks at.
        map_normalization: how summed maps are brought to [0, 1]: by maximum, from minimum to maximum, or as a mean.
    """

    config_type: ClassVar[type[MethodConfig]]
    backbone: Backbone
    num_classes: int
    num_views: int
    map_normalization: Literal["max", "min_max", "mean"] = "max"

    @property
    def embedding_channels(self) -> int:
        """Channels of the embedding: those of the backbone, unless the method makes features of its own."""
        return self.backbone.channels

    @abstractmethod
    def views(self, images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
        """The views of a batch that one training step looks at; usually the batch itself."""

    @abstractmethod
    def forward(self, images: Images) -> AnyActivation:
        """Logits, maps and embedding of a batch."""

    def finish(
        self,
        activation: AnyActivation,
        tags: Tags | None = None,  # noqa: ARG002 - for methods that override
        valid: Bool[Tensor, "b h w"] | None = None,  # noqa: ARG002
    ) -> AnyActivation:
        """The last step of a pass, after its mirror image has been added: some methods find their maps only here.

        Args:
            activation: of ``forward``, or the sum of it over an image and its mirror image.
            tags: the classes the image carries, where they are known; training always tells them.
            valid: True on pixels of the photograph, at any resolution; None: everywhere.
        """
        return activation

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Measure, once after training and in evaluation mode, what the maps of inference need; most need nothing."""

    def for_inference(self) -> "Method[Any]":
        """What is left when training is over: the method itself, or the one inside that yields its maps."""
        return self

    @abstractmethod
    def view_losses(self, activations: list[AnyActivation], batch: Batch) -> Losses:
        """Named loss terms from the finished activations of all views."""

    def outputs(self, batch: Batch) -> list[AnyActivation]:
        """The activation of each view, all through the same forward pass."""
        return [self(view) for view in self.views(batch.images)]

    @final
    def losses_from(self, outputs: list[AnyActivation], batch: Batch) -> Losses:
        """Loss terms of the finished views."""
        return self.view_losses([self.finish(view, batch.tags, batch.valid) for view in outputs], batch)


class AffinityModel(Trainable):
    """A network, built from settings and a backbone, that learns which neighbouring cells of a grid belong together.

    Attributes:
        config_type: the class of its settings, whose ``kind`` is its name in recipes.
        backbone: where the features come from.
        stride: pixels per cell of the affinity grid, which has ceil(size / stride) cells.
        offsets: (dy, dx) of each plane of affinities.
    """

    config_type: ClassVar[type[AffinityConfig]]
    backbone: Backbone
    stride: int
    offsets: list[tuple[int, int]]

    @abstractmethod
    def neighbourhood(self, images: Images, border: Literal["full", "interior"] = "full") -> Neighbourhood:
        """Affinities between the cells of images of any size, by the pairs of a border rule (see ``pair_exists``)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a data set.

    Attributes:
        id: unique name, the path below the image root without its extension; outputs are stored under it.
        tags: class ids from 0, without background; empty for a negative.
        split: ``train``, ``val`` or any other name the data set uses.
        has_mask: whether a ground-truth mask exists. Used by scoring alone, never by training.
    """

    id: str
    tags: tuple[int, ...]
    split: str
    has_mask: bool = False


class Dataset(ABC):
    """Images with tags; picklable, as worker processes read from it, and its reads are thread-safe.

    Attributes:
        name: shown beside every score.
        classes: class names without background; class i is mask value i + 1.
        records: every image, in a fixed order.
        notes: remarks on the data worth showing, one sentence each.
        skipped: ids of unreadable images that were left out.
        score_ids: training images whose masks score seeds, where the data set has a list of its own.
    """

    name: str
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    score_ids: frozenset[str] | None = None

    @abstractmethod
    def read_image(self, record: Record) -> ImageArray:
        """Upright RGB pixels."""

    @abstractmethod
    def read_mask(self, record: Record) -> MaskArray | None:
        """Ground truth, 0 background, class i as i + 1, ``IGNORE`` where unlabelled; None if the image has none."""

    def read_saliency(self, record: Record) -> Float[np.ndarray, "h w"] | None:  # noqa: ARG002
        """Object-ness in [0, 1] if the data set has any."""
        return None

    @abstractmethod
    def image_path(self, record: Record) -> Path | None:
        """The image file, or None if the image is drawn in memory."""

    @final
    def split(self, name: str) -> tuple[Record, ...]:
        """The records of one split."""
        return tuple(r for r in self.records if r.split == name)
