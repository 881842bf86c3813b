"""Ways to train a classifier whose activation maps find the objects. A new method is one file and one line here."""

from collections.abc import Callable
from typing import Any

from tagmask.config import AnyMethod, CamConfig
from tagmask.contracts import Backbone, Method
from tagmask.methods.cam import Cam

METHODS: dict[type[AnyMethod], Callable[[Any, Backbone, int], Method]] = {CamConfig: Cam}


def build_method(config: AnyMethod, backbone: Backbone, num_classes: int) -> Method:
    """The method a config asks for, on a backbone."""
    return METHODS[type(config)](config, backbone, num_classes)
