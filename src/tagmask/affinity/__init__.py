"""Which neighbouring cells of an image belong together, and the walk of maps along it.

Images and confident labels enter, affinities between cells leave; the random walk carries maps along them. Networks
learn affinities (AffinityNet, IRN); ``pairs`` and ``boundaries`` hold what their losses compare.
"""

from collections.abc import Mapping
from typing import Any

from tagmask.affinity.networks import AffinityNet, Irn
from tagmask.affinity.pair_losses import affinity_losses
from tagmask.affinity.pairs import feature_affinities, pair_codes, pair_exists, pair_offsets
from tagmask.config.affinity import AFFINITY_GROUP, AffinityConfig
from tagmask.config.base import Config
from tagmask.config.kinds import brought
from tagmask.contracts import AffinityModel, Backbone

AFFINITY_NETS: Mapping[type[Config], type[AffinityModel]] = {net.config_type: net for net in (AffinityNet, Irn)}
"""The affinity networks of the package by the class of their settings; each is built from settings and backbone."""

__all__ = [
    "AFFINITY_NETS",
    "affinity_losses",
    "affinity_type",
    "build_affinity_net",
    "feature_affinities",
    "pair_codes",
    "pair_exists",
    "pair_offsets",
]


def build_affinity_net(config: AffinityConfig, backbone: Backbone) -> AffinityModel:
    """The affinity network that settings ask for, on a backbone."""
    return affinity_type(config)(config, backbone)


def affinity_type(config: AffinityConfig) -> Any:
    """The class that settings belong to: of this package, or brought by another one under the settings' kind."""
    return AFFINITY_NETS.get(type(config)) or brought(AFFINITY_GROUP, config.kind, AffinityConfig)
