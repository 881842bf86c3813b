"""Backbones: images in, feature grids out."""

from pathlib import Path
from typing import Any

from tagmask.config import AnyBackbone, Config, Resnet38dBackbone, TimmBackbone
from tagmask.contracts import Backbone
from tagmask.errors import TagmaskError
from tagmask.networks.backbones.freezing import freeze, set_momentum
from tagmask.networks.backbones.from_timm import FromTimm, check_name
from tagmask.networks.backbones.hub import check_fetchable
from tagmask.networks.backbones.resnet38d import Resnet38d

BACKBONES: dict[type[Config], Any] = {TimmBackbone: FromTimm, Resnet38dBackbone: Resnet38d}


def check_weights(config: AnyBackbone) -> None:
    """Find out, before anything is begun, whether the weights of a backbone can be had.

    Raises:
        TagmaskError: a file that is not there or does not fit, or weights that are neither on this machine nor can be
            fetched.
    """
    if config.weights == "none":
        return
    if config.weights != "pretrained" or not isinstance(config, TimmBackbone):
        if not Path(config.weights).is_file():
            raise TagmaskError(
                f"no weights file at {config.weights}; give the path of an existing .safetensors or .pth file."
            )
        build_backbone(config)  # whether they can be read, and fit
        return
    check_name(config.model)
    check_fetchable(config.model)


def build_backbone(config: AnyBackbone) -> Backbone:
    """Build a backbone, load its weights and freeze what the settings say.

    Args:
        config: one of the settings that `BACKBONES` lists.

    Raises:
        TagmaskError: weights that cannot be read or do not fit, or more frozen stages than there are.
    """
    backbone: Backbone = BACKBONES[type(config)](config)
    freeze(backbone, config.frozen_stages, config.batch_norm)
    if config.batch_norm_momentum is not None:
        set_momentum(backbone, config.batch_norm_momentum)
    return backbone


def bare_backbone(config: AnyBackbone) -> Backbone:
    """A backbone as its settings say, but from random numbers."""
    return build_backbone(config.model_copy(update={"weights": "none"}))
