"""A finished run as one callable: image in, mask out."""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from pydantic import BaseModel, ValidationError
from torch import Tensor

from tagmask.config import AnyBackbone, SegmenterConfig
from tagmask.contracts import ImageArray, MaskArray, Normalization
from tagmask.data.images import read_image
from tagmask.errors import TagmaskError
from tagmask.inference.passes import dense_logits, pyramid
from tagmask.masks.crf import refine
from tagmask.masks.grids import long_side_factor
from tagmask.networks.backbones import build_backbone
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.saved import load_network, read_facts


class Predictor:
    """Segments new, untagged images.

    Args:
        network: a trained segmenter.
        config: its prediction settings.
        classes: class names without background; mask value i + 1 is class i.
        device: where to compute.
    """

    def __init__(
        self, network: DeepLab, config: SegmenterConfig, classes: tuple[str, ...], device: torch.device
    ) -> None:
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)
        self.config = config
        self.classes = classes
        self.device = device

    @property
    def normalization(self) -> Normalization:
        """How photographs are normalised for this network."""
        return self.network.backbone.normalization

    def __call__(self, image: np.ndarray | Image.Image | str | Path) -> MaskArray:
        """Mask of one image.

        Args:
            image: RGB pixels ``uint8 h w 3``, a Pillow image, or a path.

        Returns:
            ``int32 h w``: 0 background, class i as i + 1.

        Raises:
            TagmaskError: the file is no readable image, or the array is not RGB ``uint8 h w 3``.
        """
        pixels = _pixels(image)
        factor = long_side_factor((pixels.shape[0], pixels.shape[1]), self.config.base_long_side)
        scales = [factor * scale for scale in self.config.scales]
        return self.mask(pixels, pyramid(pixels, scales, self.normalization))

    def mask(self, image: ImageArray, images: list[Float[Tensor, "3 _ _"]]) -> MaskArray:
        """Mask from the image and its normalised copies at every scale, for callers that read ahead."""
        posterior = self.posterior((image.shape[0], image.shape[1]), images)
        if self.config.crf is not None:
            posterior = refine(image, posterior, self.config.crf)
        return posterior.argmax(axis=0).astype(np.int32)

    def posterior(self, size: tuple[int, int], images: list[Float[Tensor, "3 _ _"]]) -> Float[np.ndarray, "k h w"]:
        """Probability of background and classes per pixel, before any CRF."""
        logits = dense_logits(self.network, images, size, self.config.flip, self.device)
        return logits.softmax(dim=0).cpu().numpy()


def load(run: str | Path, device: str | None = None) -> Predictor:
    """The trained segmenter of a run folder, ready for new images.

    Args:
        run: a folder that ``tagmask run`` wrote, or a ``segmenter.safetensors`` file out of one.
        device: ``cpu``, ``cuda`` ...; None: a GPU if there is one.

    Raises:
        TagmaskError: there is no trained segmenter.

    Example:
        ``mask = tagmask.load("runs/x")("photo.jpg")``
    """
    path = Path(run)
    file = path / "segmenter.safetensors" if path.is_dir() else path
    if not file.exists():
        raise TagmaskError(
            f"no trained segmenter at {file}; train one with `tagmask run` or `tagmask train-segmenter`."
        )
    facts, classes = _facts(file)
    network = build_segmenter(facts.segmenter, facts.backbone, len(classes), load_initial=False)
    load_network(file, network)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return Predictor(network, facts.segmenter, classes, place)


class _Facts(BaseModel):
    """What of a recipe a trained segmenter needs; the rest has done its work, and its packages need not be here."""

    segmenter: SegmenterConfig
    backbone: AnyBackbone


def _facts(file: Path) -> tuple[_Facts, tuple[str, ...]]:
    """The settings and the class names that a weights file was written with."""
    facts = read_facts(file)
    if "recipe" not in facts or "classes" not in facts:
        raise TagmaskError(f"{file} was not written by tagmask train-segmenter; give a run folder.")
    try:
        return _Facts.model_validate_json(facts["recipe"]), tuple(json.loads(facts["classes"]))
    except ValidationError as error:
        raise TagmaskError(
            f"{file} was written by another version of tagmask, whose settings this one does not know; "
            "use that version, or train the stage again."
        ) from error


def build_segmenter(segmenter: SegmenterConfig, backbone: AnyBackbone, num_classes: int, load_initial: bool) -> DeepLab:
    """A recipe's segmentation network.

    Args:
        segmenter: its settings.
        backbone: the recipe's own, for a segmenter that names none.
        num_classes: classes without background.
        load_initial: whether to read the backbone's initial weights.
    """
    config = segmenter.backbone or backbone
    config = config if load_initial else config.model_copy(update={"weights": "none"})
    return DeepLab(segmenter, build_backbone(config), num_classes)


def _pixels(image: np.ndarray | Image.Image | str | Path) -> ImageArray:
    if isinstance(image, str | Path):
        return read_image(Path(image))
    pixels = np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise TagmaskError(
            f"an image array must be RGB, uint8, rows x columns x 3; got {pixels.dtype} of shape {pixels.shape}."
        )
    return pixels
