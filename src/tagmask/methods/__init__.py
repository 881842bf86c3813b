"""Ways to train a classifier whose activation maps find the objects. A new method is one file and one line here."""

from collections.abc import Callable
from typing import Any

from tagmask.config import CamConfig, EpsConfig, MethodConfig, PpcConfig, SeamConfig, SipeConfig
from tagmask.contracts import Backbone, Method
from tagmask.methods.cam import Cam
from tagmask.methods.eps import Eps
from tagmask.methods.ppc import Ppc
from tagmask.methods.seam import Seam
from tagmask.methods.sipe import Sipe

METHODS: dict[type[MethodConfig], Callable[[Any, Backbone, int], Method]] = {
    CamConfig: Cam,
    EpsConfig: Eps,
    SeamConfig: Seam,
    SipeConfig: Sipe,
}


def build_method(config: MethodConfig, backbone: Backbone, num_classes: int) -> Method:
    """The method that settings ask for, on a backbone; PPC holds another method.

    Args:
        config: settings of a method in ``METHODS``, or of PPC around one.
        backbone: where the features come from.
        num_classes: classes without background.
    """
    if isinstance(config, PpcConfig):
        return Ppc(config, build_method(config.base, backbone, num_classes))
    return METHODS[type(config)](config, backbone, num_classes)
