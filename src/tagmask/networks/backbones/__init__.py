"""Backbones: images in, feature grids out."""

from typing import Any

from tagmask.config import AnyBackbone, Config, Resnet38dBackbone, TimmBackbone
from tagmask.contracts import Backbone
from tagmask.networks.backbones.freezing import freeze
from tagmask.networks.backbones.from_timm import FromTimm
from tagmask.networks.backbones.resnet38d import Resnet38d

BACKBONES: dict[type[Config], Any] = {TimmBackbone: FromTimm, Resnet38dBackbone: Resnet38d}


def build_backbone(config: AnyBackbone) -> Backbone:
    """Build a backbone, load its weights and freeze what the settings say.

    Args:
        config: one of the settings that `BACKBONES` lists.

    Raises:
        TagmaskError: weights that cannot be read or do not fit, or more frozen stages than there are.
    """
    backbone: Backbone = BACKBONES[type(config)](config)
    freeze(backbone, config.frozen_stages, config.batch_norm)
    return backbone
