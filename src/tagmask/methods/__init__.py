"""Ways to train a classifier whose activation maps find the objects. A new method is one file and one line here."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from tagmask.config import AnyMethod, CamConfig, EpsConfig, PpcConfig, SeamConfig, SipeConfig
from tagmask.contracts import Backbone, Method
from tagmask.methods.cam import Cam
from tagmask.methods.eps import Eps
from tagmask.methods.ppc import Ppc
from tagmask.methods.seam import Seam
from tagmask.methods.sipe import Sipe

METHODS: dict[type[BaseModel], Callable[[Any, Backbone, int], Method]] = {
    CamConfig: Cam,
    EpsConfig: Eps,
    SeamConfig: Seam,
    SipeConfig: Sipe,
}


def build_method(config: AnyMethod, backbone: Backbone, num_classes: int) -> Method:
    """The method a config asks for, on a backbone; PPC holds another method."""
    if isinstance(config, PpcConfig):
        return Ppc(config, build_method(config.base, backbone, num_classes))
    return METHODS[type(config)](config, backbone, num_classes)
