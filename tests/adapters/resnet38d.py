"""Wide ResNet-38 with the heads of AffinityNet, EPS, SEAM and PPC, filled with hashed weights."""

import zlib

import numpy as np
import torch
from torch import Tensor, nn

from tagmask.affinity.networks import AffinityNet
from tagmask.affinity.pairs import feature_affinities, pair_exists
from tagmask.config import (
    AffinityNetConfig,
    AugmentConfig,
    CamConfig,
    EpsConfig,
    PpcConfig,
    Resnet38dBackbone,
    SeamConfig,
    TrainingConfig,
)
from tagmask.contracts import Backbone
from tagmask.methods import build_method
from tagmask.methods.cam import Cam
from tagmask.methods.eps import Eps
from tagmask.methods.equivariance import resized_aligned
from tagmask.methods.ppc import Ppc
from tagmask.networks.backbones import build_backbone

TOLERANCE = {"out_weight_spot": (1e-9, 0.0), "*": (1e-4, 0.0)}

CLASSES = 20  # of the reference's classifier: the files do not say
ENLARGED = [0, 7]  # channels whose maps are also given at the size of the image
CHUNK = 1 << 20


def resnet38d(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    salt = int(arrays["p_salt"])
    images = torch.from_numpy(arrays["in_image"])[None]
    backbone = build_backbone(Resnet38dBackbone(weights="none"))
    cam = fill(Cam(CamConfig(), backbone, int(arrays.get("p_num_classes", CLASSES))), salt).eval()
    affinity = fill(AffinityNet(affinity_config(), backbone), salt, skip="backbone.").eval()
    with torch.no_grad():
        levels = [grid[0].numpy() for grid in backbone.forward_levels(images)]
        activation, features = cam(images), affinity(images)
        planes = feature_affinities(features, [tuple(offset) for offset in arrays["in_offsets"].tolist()])[0].numpy()
    outputs = {"psa_cam": activation.maps[0].numpy(), "psa_logit": activation.logits[0].numpy()}
    sampled = dict(zip(("conv4", "conv5", "conv6"), levels[-3:], strict=True)) | {"aff_feat": features[0].numpy()}
    for name, grid in sampled.items():
        outputs |= {name: grid[:: int(arrays[f"p_{name}_step"])], f"{name}_chmean": grid.mean((1, 2), dtype=np.float64)}
    outputs["aff_interior"] = np.where(exists(planes.shape[1:], arrays["in_offsets"]), planes, np.nan)
    outputs["weight_spot"] = spots(cam, arrays["in_weight_spot_keys"])
    outputs |= eps_outputs(images, backbone, cam.num_classes, salt)
    outputs |= seam_outputs(images, backbone, cam.num_classes, salt)
    return {f"out_{name}": array for name, array in outputs.items()}


def eps_outputs(images: Tensor, backbone: Backbone, num_classes: int, salt: int) -> dict[str, np.ndarray]:
    """Scores and their means, background last as in the reference."""
    eps = fill(Eps(EpsConfig(), backbone, num_classes), salt, skip="backbone.").eval()
    eps.fc8.weight.data = eps.fc8.weight.data.roll(1, dims=0)
    with torch.no_grad():
        scores = eps(images).scores[0].roll(-1, dims=0)
    return {"eps_cam": scores.numpy(), "eps_pred": scores.mean(dim=(1, 2)).numpy()}


def seam_outputs(images: Tensor, backbone: Backbone, num_classes: int, salt: int) -> dict[str, np.ndarray]:
    """Scores and refined maps, on the grid and enlarged, and what PPC adds to them."""
    config = PpcConfig(base=SeamConfig())
    ppc = Ppc(config, build_method(config.base, backbone, num_classes))
    ppc = fill(ppc, salt, skip="base.backbone.").eval()
    with torch.no_grad():
        found = ppc(images)
        projected = ppc.projected(found.embedding)
    outputs = {"ppc_f_proj": projected[0].numpy(), "ppc_cam_rv_down": found.refined[0].numpy()}
    for name, grid in {"cam": found.scores, "cam_rv": found.refined}.items():
        enlarged = resized_aligned(grid[:, ENLARGED], (images.shape[2], images.shape[3]))
        outputs |= {f"seam_{name}_low": grid[0].numpy(), f"seam_{name}_up": enlarged[0].numpy()}
    return outputs


def exists(size: tuple[int, int], offsets: np.ndarray) -> np.ndarray:
    return pair_exists(*size, [tuple(offset) for offset in offsets.tolist()], "interior").numpy()


def spots(network: nn.Module, keys: np.ndarray) -> np.ndarray:
    state = {name.removeprefix("backbone."): tensor for name, tensor in network.state_dict().items()}
    return np.stack([state[key].flatten()[:8].numpy() for key in keys.tolist()])


def affinity_config() -> AffinityNetConfig:
    return AffinityNetConfig(training=TrainingConfig(steps=1, rate=0.1, augment=AugmentConfig(crop=64)))


def fill(network: nn.Module, salt: int, skip: str = " ") -> nn.Module:
    """Hashed weights in every tensor whose name does not start with ``skip``."""
    for name, tensor in network.state_dict().items():
        if not name.startswith(skip):
            bare = name.removeprefix("base.").removeprefix("backbone.").removeprefix("correlation.")
            values = hashed_weights(bare, tuple(tensor.shape), salt)
            tensor.copy_(torch.from_numpy(values))
    return network


def hashed_weights(name: str, shape: tuple[int, ...], salt: int) -> np.ndarray:
    """Weights of one tensor: uniform numbers from a hash of name and index, scaled by the tensor's kind."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    start, total = (zlib.crc32(name.encode()) + salt * 0x9E3779B9) % 2**32, int(np.prod(shape))
    scale, base = kind(name, shape)
    values = np.empty(total, np.float32)
    for first in range(0, total, CHUNK):
        part = values[first : first + CHUNK]
        part[:] = base + scale * uniform(start, first, len(part))
    return values.reshape(shape)


def kind(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Factor and summand of a tensor's uniform numbers in [-1, 1)."""
    if len(shape) == 4:
        return float(np.sqrt(3 / np.prod(shape[1:]))), 0.0
    return {"weight": (0.1, 1.0), "running_var": (0.2, 1.0)}.get(name.rsplit(".", 1)[-1], (0.1, 0.0))


def uniform(start: int, first: int, count: int) -> np.ndarray:
    x = np.arange(first, first + count, dtype=np.uint32)
    x *= np.uint32(2654435761)
    x += np.uint32(start)
    for _ in range(2):
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x45D9F3B)
    x ^= x >> np.uint32(16)
    return x / 2.0**31 - 1.0
