"""Ways to train a classifier whose activation maps find the objects.

Settings, a backbone and a number of classes enter, a ``Method`` leaves. Methods are strangers to each other: what
several of them compute (second view, equivariance, correlation, likeness, contrast) lies in files of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tagmask.config.base import Config
from tagmask.config.kinds import brought
from tagmask.config.methods import METHOD_GROUP, MethodConfig, WrapperConfig
from tagmask.contracts import Backbone, Method
from tagmask.methods.cam import Cam, tag_loss
from tagmask.methods.eps import Eps
from tagmask.methods.ppc import Ppc
from tagmask.methods.pyramid import Pyramid
from tagmask.methods.seam import Seam
from tagmask.methods.sipe import Sipe

METHODS: Mapping[type[Config], type[Method[Any]]] = {
    method.config_type: method for method in (Cam, Eps, Pyramid, Seam, Sipe)
}
"""The methods of the package by the class of their settings; each is built from settings, backbone, classes."""

WRAPPERS: Mapping[type[Config], Callable[[Any, Method[Any]], Method[Any]]] = {Ppc.config_type: Ppc}
"""Those that are put around another method; each is built from settings and that method."""

__all__ = ["METHODS", "WRAPPERS", "build_method", "method_type", "tag_loss"]


def build_method(config: MethodConfig, backbone: Backbone, num_classes: int) -> Method[Any]:
    """The method that settings ask for, on a backbone.

    Args:
        config: settings of a method of the package or of another one, or of a wrapper around one.
        backbone: where the features come from.
        num_classes: classes without background.
    """
    if isinstance(config, WrapperConfig):
        return WRAPPERS[type(config)](config, build_method(config.base, backbone, num_classes))
    return method_type(config)(config, backbone, num_classes)


def method_type(config: MethodConfig) -> Any:
    """The class that settings belong to: of this package, or brought by another one under the settings' kind."""
    return METHODS.get(type(config)) or brought(METHOD_GROUP, config.kind, MethodConfig)
