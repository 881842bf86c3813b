"""Wide ResNet-38 (Wu, Shen & van den Hengel, "Wider or Deeper", Pattern Recognition 2019), model A1 at stride 8.

Parameter names are those of the public PyTorch files of the weak-supervision literature, so these load as they are.
"""

import re
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tagmask.config import Resnet38dBackbone
from tagmask.contracts import Backbone, Images, Level, Normalization
from tagmask.networks.backbones.mxnet_params import read_mxnet_params
from tagmask.networks.backbones.weights import load_state, read_weights

_Grid = Float[Tensor, "b _ _ _"]

# Blocks of each stage: name, then channels in, between and out, stride, dilations of the two convolutions.
_PLAIN = {
    "b2": ((64, 128, 128, 2, 1, 1), (128, 128, 128, 1, 1, 1), (128, 128, 128, 1, 1, 1)),
    "b3": ((128, 256, 256, 2, 1, 1), (256, 256, 256, 1, 1, 1), (256, 256, 256, 1, 1, 1)),
    "b4": ((256, 512, 512, 2, 1, 1), *[(512, 512, 512, 1, 1, 1)] * 5),
    "b5": ((512, 512, 1024, 1, 1, 2), (1024, 512, 1024, 1, 2, 2), (1024, 512, 1024, 1, 2, 2)),
}
_MXNET_FIELDS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var", "weight": "weight"}


@final
class Resnet38d(Backbone):
    """Pre-activation residual network of 105 070 912 parameters.

    Levels are conv3 (256 channels, stride 4), conv4 (512, 8), conv5 (1024, 8) and conv6 (4096, 8): the activated inputs
    of b4, b5 and b6, and the activated output of b7. Channel dropout of 0.3 and 0.5 acts inside b6 and b7.

    Args:
        config: weights file and epsilon of the normalisation. Freezing is ``freezing.freeze``.

    Raises:
        TagmaskError: weights that cannot be read or do not fit.
    """

    levels = (Level(256, 4), Level(512, 8), Level(1024, 8), Level(4096, 8))
    normalization = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    signed = False

    def __init__(self, config: Resnet38dBackbone) -> None:
        super().__init__()
        eps = config.batch_norm_eps
        self.conv1a = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        for stage, blocks in _PLAIN.items():
            for index, sizes in enumerate(blocks):
                self.add_module(f"{stage}_{index}" if index else stage, _Plain(*sizes, eps=eps))
        self.b6 = _Bottleneck(1024, 2048, dropout=0.3, eps=eps)
        self.b7 = _Bottleneck(2048, 4096, dropout=0.5, eps=eps)
        self.bn7 = nn.BatchNorm2d(4096, eps=eps)
        if config.weights != "none":
            load_state(self, read_resnet38d_weights(config.weights), config.weights)

    def forward_levels(self, images: Images) -> list[_Grid]:
        """conv3, conv4, conv5 and conv6."""
        grid = self.conv1a(images)
        activated: dict[str, Tensor] = {}
        for name, block in self._blocks().items():
            grid, activated[name] = block(grid)
        return [activated["b4"], activated["b5"], activated["b6"], F.relu(self.bn7(grid), inplace=True)]

    def stages(self) -> list[list[nn.Module]]:
        """conv1a, b2 to b6, and b7 with the last normalisation: seven stages."""
        blocks = self._blocks()
        inner = [[block for name, block in blocks.items() if name.split("_")[0] == stage] for stage in (*_PLAIN, "b6")]
        return [[self.conv1a], *inner, [self.b7, self.bn7]]

    def _blocks(self) -> dict[str, nn.Module]:
        return {name: child for name, child in self.named_children() if name.startswith("b") and name != "bn7"}


class _Plain(nn.Module):
    """Two 3x3 convolutions, each behind normalisation and ReLU; the shortcut branches off behind the first ReLU."""

    def __init__(self, inner: int, mid: int, out: int, stride: int, *rates: int, eps: float) -> None:
        super().__init__()
        first, second = rates
        self.bn_branch2a = nn.BatchNorm2d(inner, eps=eps)
        self.conv_branch2a = nn.Conv2d(inner, mid, 3, stride, padding=first, dilation=first, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(mid, eps=eps)
        self.conv_branch2b1 = nn.Conv2d(mid, out, 3, padding=second, dilation=second, bias=False)
        if inner != out or stride != 1:
            self.conv_branch1 = nn.Conv2d(inner, out, 1, stride, bias=False)

    def forward(self, grid: _Grid) -> tuple[_Grid, _Grid]:
        """The block's output and its activated input."""
        activated = F.relu(self.bn_branch2a(grid), inplace=True)
        shortcut = self.conv_branch1(activated) if hasattr(self, "conv_branch1") else grid
        inside = F.relu(self.bn_branch2b1(self.conv_branch2a(activated)), inplace=True)
        return self.conv_branch2b1(inside) + shortcut, activated


class _Bottleneck(nn.Module):
    """1x1, dilated 3x3, 1x1, each behind normalisation and ReLU, with channel dropout before the last two."""

    def __init__(self, inner: int, out: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(inner, eps=eps)
        self.conv_branch2a = nn.Conv2d(inner, out // 4, 1, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(out // 4, eps=eps)
        self.conv_branch2b1 = nn.Conv2d(out // 4, out // 2, 3, padding=4, dilation=4, bias=False)
        self.bn_branch2b2 = nn.BatchNorm2d(out // 2, eps=eps)
        self.conv_branch2b2 = nn.Conv2d(out // 2, out, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(inner, out, 1, bias=False)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, grid: _Grid) -> tuple[_Grid, _Grid]:
        """The block's output and its activated input."""
        activated = F.relu(self.bn_branch2a(grid), inplace=True)
        inside = self.dropout(F.relu(self.bn_branch2b1(self.conv_branch2a(activated)), inplace=True))
        inside = self.dropout(F.relu(self.bn_branch2b2(self.conv_branch2b1(inside)), inplace=True))
        return self.conv_branch2b2(inside) + self.conv_branch1(activated), activated


def read_resnet38d_weights(path: str | Path) -> dict[str, Tensor]:
    """Weights under our names from a .pth or .safetensors file or from the published MXNet .params file.

    Raises:
        TagmaskError: unreadable file.
    """
    if Path(path).suffix != ".params":
        return read_weights(path)
    arrays = {mxnet_name(name): array for name, array in read_mxnet_params(path).items()}
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items() if name}


def mxnet_name(name: str) -> str:
    """Our name of an MXNet tensor; empty for the 1000-way classifier; unknown names stay, to be refused on loading.

    >>> mxnet_name("arg:res2b1_branch2a_weight"), mxnet_name("aux:bn5a_branch2b1_moving_var")
    ('b2_1.conv_branch2a.weight', 'b5.bn_branch2b1.running_var')
    >>> mxnet_name("arg:bn7_gamma"), mxnet_name("arg:conv1a_weight"), mxnet_name("arg:linear1000_bias")
    ('bn7.weight', 'conv1a.weight', '')
    """
    bare = name.split(":", 1)[-1]
    if bare.startswith("linear1000"):
        return ""
    inside = re.fullmatch(r"(res|bn)(\d+)(?:a|b(\d+))_(branch[^_]+)_(?:moving_)?([a-z]+)", bare)
    outside = re.fullmatch(r"(conv1a|bn7)_(?:moving_)?([a-z]+)", bare)
    if inside and inside[5] in _MXNET_FIELDS:
        kind, index = ("conv" if inside[1] == "res" else "bn"), (f"_{inside[3]}" if inside[3] else "")
        return f"b{inside[2]}{index}.{kind}_{inside[4]}.{_MXNET_FIELDS[inside[5]]}"
    if outside and outside[2] in _MXNET_FIELDS:
        return f"{outside[1]}.{_MXNET_FIELDS[outside[2]]}"
    return name
