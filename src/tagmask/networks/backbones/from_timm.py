"""Any model of the timm library as a backbone.

timm models differ in three ways that this module evens out:

- *stride*: models that can dilate are asked for ``output_stride``; the others keep their own, and asking for another
  one is an error that names it, unless ``own_stride`` allows it. Patches of 14 pixels count as 16.
- *image size*: models whose grids are not ``ceil(size / stride)`` for every size (transformers with patches, models
  that pool without padding) see the image enlarged to the next multiple of their stride, and transformers their
  position embeddings interpolated to its grid. So the cells of every level divide the image evenly, as resizing with
  ``align_corners=False`` takes for granted, and a mirrored image has mirrored cells. Padding would shift both.
- *final features*: where the model goes on after its last stage (a final normalisation, the 1x1 head of a MobileNet),
  these features are one more level, the deepest.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any, final

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import TimmBackbone
from tagmask.contracts import Backbone, Images, Level, Normalization
from tagmask.errors import TagmaskError
from tagmask.networks.backbones.dilation import centre, undilate
from tagmask.networks.backbones.hub import check_fetchable
from tagmask.networks.backbones.weights import load_weights

STRIDES = (8, 16, 32)


@final
class FromTimm(Backbone):
    """A timm model read through ``forward_intermediates``.

    Attributes:
        model: the timm network without its classifier.
        multiple: images are enlarged to a multiple of this; 1 leaves them alone.
        signed: whether features of noise have a negative number; those behind a ReLU have none.

    Args:
        config: model name, weights, stride and normalisation. Freezing is ``freezing.freeze``.

    Raises:
        TagmaskError: unknown model, unreachable or unfitting weights, a stride the model cannot have, or a model that
            does not yield grids for every image size.
    """

    def __init__(self, config: TimmBackbone) -> None:
        super().__init__()
        self.model: Any = create_model(config)
        if not config.dilated:
            undilate(self.model)
        centre(self.model)
        if config.weights not in ("pretrained", "none"):
            load_weights(self.model, config.weights)
        self.levels, self.multiple, self.signed = _measure(self.model, config.model)
        _check_stride(config, self.levels[-1].stride)
        cfg = self.model.pretrained_cfg
        self.normalization = Normalization(config.mean or tuple(cfg["mean"]), config.std or tuple(cfg["std"]))

    def forward_levels(self, images: Images) -> list[Float[Tensor, "b _ _ _"]]:
        """Every intermediate of the model and, if it is another tensor, its final features; finest first."""
        height, width = images.shape[2:]
        grids = _grids(self.model, _enlarged(images, self.multiple))
        sizes = [(_ceil(height, level.stride), _ceil(width, level.stride)) for level in self.levels]
        return [_resized(grid, size) for grid, size in zip(grids, sizes, strict=True)]

    def stages(self) -> list[list[nn.Module]]:
        """One stage per level: the modules up to and including the one whose output the level is.

        Position embeddings and class tokens belong to the first stage; what follows the last intermediate is a last
        stage of its own.
        """
        ends = {info["module"] for info in self.model.feature_info if info.get("module")}
        stages: list[list[nn.Module]] = [[nn.ParameterList(self.model.parameters(recurse=False))]]
        for path, module in _units(self.model, "", ends):
            stages[-1].append(module)
            if path in ends:
                stages.append([])
        return [stage for stage in stages if any(True for module in stage for _ in module.parameters())]


def create_model(config: TimmBackbone) -> Any:  # timm's models share no base class
    """Build the timm model, without classifier, at the asked stride and for any image size if it can.

    Raises:
        TagmaskError: unknown model, refused ``pad_type``, or weights that cannot be downloaded.
    """
    check_name(config.model)
    if config.weights == "pretrained":
        check_fetchable(config.model)
    fixed: dict[str, Any] = {"pretrained": config.weights == "pretrained", "num_classes": 0}
    fixed |= {} if config.pad_type is None else {"pad_type": config.pad_type}
    refusal: Exception | None = None
    # Convolutional models know the first, transformers the second; a model that knows neither refuses both.
    choices: tuple[dict[str, Any], ...] = ({"output_stride": config.output_stride}, {"dynamic_img_size": True}, {})
    for asked in choices:
        try:
            return timm.create_model(config.model, **fixed, **asked)
        except (TypeError, AssertionError, NotImplementedError) as error:
            refusal = error
        except (OSError, RuntimeError) as error:
            raise TagmaskError(
                f"the weights of timm model {config.model!r} could not be fetched: {error}\n"
                "Download them where there is a network and set `weights` to the local .safetensors or .pth file, "
                "or set `weights: none` to start from random values."
            ) from error
    raise TagmaskError(
        f"timm cannot build {config.model!r} with {fixed}: {refusal}. Leave out `pad_type` unless the model takes it."
    ) from refusal


def check_name(name: str) -> None:
    """Refuse names timm does not know, naming near ones; ``hf-hub:`` and ``local-dir:`` addresses pass."""
    if ":" in name:
        return
    if not timm.is_model(name):
        near = _near_names(name)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them."
        raise TagmaskError(f"timm has no model {name!r}; {hint}")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        model = name.split(".", maxsplit=1)[0]
        known = ", ".join(timm.list_pretrained(f"{model}.*"))
        raise TagmaskError(f"timm has no weights {name!r} of model {model!r}; it has {known or 'none'}.") from error


def _near_names(name: str) -> list[str]:
    """At most three names that are spelled like it or, if none is, contain it."""
    words = "_".join(part for part in re.split(r"[^a-z0-9]+", name.lower()) if part)
    known = timm.list_models()
    return difflib.get_close_matches(words, known, n=3) or [each for each in known if words and words in each][:3]


def _check_stride(config: TimmBackbone, stride: int) -> None:
    """Accept the asked stride, or the one of `STRIDES` that is nearest to the model's own (patches of 14 pixels)."""
    nearest = min(STRIDES, key=lambda s: abs(s - stride))
    if config.output_stride != nearest and not config.own_stride:
        raise TagmaskError(
            f"{config.model!r} yields stride {stride} and cannot have output_stride {config.output_stride}; "
            f"set output_stride: {nearest}, or choose a model that can be dilated, such as a ResNet."
        )


@torch.inference_mode(mode=False)
@torch.enable_grad()
def _measure(model: Any, name: str) -> tuple[tuple[Level, ...], int, bool]:
    """Levels of a model, the multiple images are enlarged to, and whether features are signed, from a pass of noise.

    Parameters no level depends on (the hidden layers of a removed classifier) stop learning: nothing could teach them,
    and distributed training refuses them. Gradients are needed to see it, whatever the caller has switched off.
    """
    if not hasattr(model, "forward_intermediates"):
        raise TagmaskError(f"timm model {name!r} has no forward_intermediates; choose another model.")
    strides = [int(info["reduction"]) for info in model.feature_info]
    training, reason = model.training, ""
    model.eval()
    for multiple in (1, max(strides)):
        images = torch.randn(
            1, 3, 2 * max(strides) + 1, 3 * max(strides) + 1, generator=torch.Generator().manual_seed(0)
        )
        try:
            grids = _grids(model, _enlarged(images, multiple))
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error)
            continue
        _stop_unused(model, grids)
        strides += strides[-1:] * (len(grids) - len(strides))
        if all(_fits(grid, images, stride, multiple) for grid, stride in zip(grids, strides, strict=True)):
            model.train(training)
            levels = tuple(Level(g.shape[1], s) for g, s in zip(grids, strides, strict=True))
            return levels, multiple, _is_signed(grids[-1])
        reason = f"grids {[tuple(g.shape[2:]) for g in grids]} for an image of {tuple(images.shape[2:])}"
    raise TagmaskError(f"timm model {name!r} does not take every image size ({reason}); choose another model.")


def _is_signed(features: Tensor) -> bool:
    """Whether features have a negative number; those without numbers, of a network that is only laid out, may."""
    return features.is_meta or bool((features < 0).any())


def _fits(grid: Tensor, images: Tensor, stride: int, multiple: int) -> bool:
    """Whether a grid of an image enlarged to ``multiple`` is ``ceil(size / stride)``."""
    enlarged = (_ceil(n, multiple) * multiple for n in images.shape[2:])
    return tuple(grid.shape[2:]) == tuple(_ceil(n, stride) for n in enlarged)


def _stop_unused(model: nn.Module, grids: list[Tensor]) -> None:
    learning = [p for p in model.parameters() if p.requires_grad]
    total = torch.stack([grid.sum() for grid in grids]).sum()
    gradients = torch.autograd.grad(total, learning, allow_unused=True)
    for parameter, gradient in zip(learning, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def _grids(model: Any, images: Images) -> list[Float[Tensor, "b _ _ _"]]:
    """Intermediates and final features of a timm model, all channels first."""
    last, grids = model.forward_intermediates(images, output_fmt="NCHW")
    return list(grids) if last is grids[-1] else [*grids, _channels_first(last, grids[-1], model)]


def _channels_first(features: Tensor, like: Tensor, model: Any) -> Float[Tensor, "b d p q"]:
    """Final features as a grid: tokens lose their prefix (class token, registers), channels-last is turned."""
    rows, columns = like.shape[2:]
    if features.ndim == 3:
        return features[:, -rows * columns :].transpose(1, 2).unflatten(2, (rows, columns))
    return features.permute(0, 3, 1, 2) if getattr(model, "output_fmt", "NCHW") == "NHWC" else features


def _enlarged(images: Images, multiple: int) -> Float[Tensor, "b 3 _ _"]:
    """Images whose sides are multiples, the next ones."""
    return _resized(images, tuple(_ceil(n, multiple) * multiple for n in images.shape[2:]))


def _resized(grid: Float[Tensor, "b d _ _"], size: tuple[int, ...]) -> Float[Tensor, "b d _ _"]:
    """The same, or bilinear with pixel centres at half integers."""
    if tuple(grid.shape[2:]) == size:
        return grid
    return F.interpolate(grid, size=size, mode="bilinear", align_corners=False)


def _ceil(size: int, stride: int) -> int:
    return -(-size // stride)


def _units(module: nn.Module, prefix: str, ends: set[str]) -> Iterator[tuple[str, nn.Module]]:
    """Submodules in order, opened only where a level's module lies inside."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if any(end.startswith(f"{path}.") for end in ends):
            yield from _units(child, f"{path}.", ends)
        else:
            yield path, child
