"""A guard that refuses whatever makes a program wait for its device: tensors without numbers stand for one."""

from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
FROM_NUMBERS = {"tensor", "as_tensor", "asarray", "from_numpy", "frombuffer", "new_tensor"}
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "bincount", "equal", "is_nonzero"}


class WaitError(Exception):
    pass


class NoNumbersFromHere(TorchFunctionMode):
    """Refuses tensors made of Python's numbers, which are copied to the device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in FROM_NUMBERS:
            raise WaitError(f"{func.__name__} copies numbers to the device")
        return func(*args, **kwargs or {})


class NoneFromThere(TorchDispatchMode):
    """Refuses values asked for, sizes that depend on values, and tensors elsewhere than on the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITING or (name.startswith("index") and picks_by_truth(args)):
            raise WaitError(f"{name} has to know numbers")
        found = func(*args, **kwargs or {})
        if elsewhere := [each for each in tree_leaves((args, kwargs, found)) if is_elsewhere(each)]:
            raise WaitError(f"{name} with a tensor of {tuple(elsewhere[0].shape)} on the {elsewhere[0].device}")
        return found


@contextmanager
def no_waiting():
    """Refuse whatever makes a program wait for its device."""
    with NoNumbersFromHere(), NoneFromThere():
        yield


def picks_by_truth(args) -> bool:
    return len(args) > 1 and any(isinstance(each, Tensor) and each.dtype == torch.bool for each in tree_leaves(args[1]))


def is_elsewhere(value) -> bool:
    return isinstance(value, Tensor) and value.device != META


ASKING = {"tolist", "item", "cpu", "numpy", "nonzero", "unique", "__float__", "__bool__", "__int__", "equal"}


class Questions(TorchFunctionMode):
    """Notes, on any device, each operation that has to wait for an answer.

    Attributes:
        asked: their names, in order.
    """

    def __init__(self):
        self.asked = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in ASKING:
            self.asked.append(name)
        return func(*args, **kwargs or {})
