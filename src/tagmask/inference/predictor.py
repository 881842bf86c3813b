"""A finished run as one callable: image in, mask out."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int32, UInt8
from PIL import Image
from pydantic import BaseModel, ValidationError
from torch import Tensor

from tagmask.config import AnyBackbone, AnyData, FolderData, SegmenterConfig
from tagmask.contracts import ImageArray, MaskArray, Normalization
from tagmask.data.images import rgb
from tagmask.data.orientation import read_photograph
from tagmask.errors import TagmaskError, first_line
from tagmask.inference.exported import FORMS, DenseNetwork, ExportSettings, read_settings, settings_file
from tagmask.inference.hub import fetched, is_address
from tagmask.inference.passes import dense_logits, pyramid, resize_image
from tagmask.masks.crf import refine
from tagmask.masks.grids import long_side_factor
from tagmask.networks.backbones import build_backbone
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.saved import load_network, read_facts

LARGEST = 12_500_000  # pixels: what a telephone takes; more would need memory without end

Bands = tuple[int, int, int]

AnyImage = np.ndarray | Image.Image | str | Path
"""Pixels, a Pillow image, or where one lies."""


def largest_factor(size: tuple[int, int]) -> float:
    """Factor that brings (rows, columns) down to at most ``LARGEST`` pixels; 1 if they are no more.

    >>> largest_factor((3000, 4000)), largest_factor((10_000, 20_000))
    (1.0, 0.25)
    """
    return min(1.0, math.sqrt(LARGEST / (size[0] * size[1])))


def enlarged(mask: MaskArray, size: tuple[int, int]) -> Int32[np.ndarray, "_ _"]:
    """A mask at ``size`` (rows, columns), each pixel taking the nearest number."""
    return np.array(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST), np.int32)


class Predictor:
    """Segments new, untagged images.

    Args:
        network: a trained segmenter, or one that was exported.
        config: its prediction settings, those of a run or of an export.
        classes: class names without background; mask value i + 1 is class i.
        device: where to compute.
        bands: which bands of image files it was trained on as red, green and blue; None: as the files say.
        largest_side: long side that larger photographs were scaled down to in training, and are here; None: they were
            not.
    """

    def __init__(
        self,
        network: DenseNetwork,
        config: SegmenterConfig | ExportSettings,
        classes: tuple[str, ...],
        device: torch.device,
        bands: Bands | None = None,
        largest_side: int | None = None,
        as_stored: bool = False,
    ) -> None:
        if isinstance(network, DeepLab):
            network = network.eval().to(device).to(memory_format=torch.channels_last)
        self.network = network
        self.config = config
        self.classes = classes
        self.device = device
        self.bands: Bands | None = bands
        self.largest_side: int | None = largest_side
        self.as_stored = as_stored

    @property
    def normalization(self) -> Normalization:
        """How photographs are normalised for this network."""
        return self.network.normalization

    def __call__(self, image: AnyImage) -> MaskArray:
        """Mask of one image.

        Photographs that are larger than those of the training, or than ``LARGEST`` pixels, are scaled down, and their
        masks enlarged again.

        Args:
            image: RGB pixels ``uint8 h w 3``, a Pillow image of any mode, or a path. An image by its path is turned
                upright as its EXIF data say; arrays and Pillow images are taken as they are.

        Returns:
            ``int32 h w``: 0 background, class i as i + 1.

        Raises:
            TagmaskError: the file is no readable image, or the array is not RGB ``uint8 h w 3``.
        """
        pixels = pixels_of(image, self.bands, self.as_stored)
        size = (pixels.shape[0], pixels.shape[1])
        mask = self.mask(*self.scaled(pixels))
        return mask if mask.shape == size else enlarged(mask, size)

    def scaled(self, pixels: ImageArray) -> tuple[UInt8[np.ndarray, "_ _ 3"], list[Float[Tensor, "3 _ _"]]]:
        """A photograph at the size at which it gets its mask, and normalised at every scale."""
        size = (pixels.shape[0], pixels.shape[1])
        side = max(size) if self.largest_side is None else self.largest_side
        smaller = resize_image(pixels, min(largest_factor(size), side / max(size)))
        factor = long_side_factor((smaller.shape[0], smaller.shape[1]), self.config.base_long_side)
        return smaller, pyramid(smaller, [factor * scale for scale in self.config.scales], self.normalization)

    def read(self, path: Path) -> ImageArray:
        """A photograph as those of the training were read: their bands, turned upright or not.

        Raises:
            TagmaskError: it is no readable image.
        """
        return read_photograph(path, self.bands, self.as_stored)

    def mask(self, image: ImageArray, images: list[Float[Tensor, "3 _ _"]]) -> MaskArray:
        """Mask from the image and its normalised copies at every scale, for callers that read ahead."""
        return self.decided(image, self.posterior((image.shape[0], image.shape[1]), images))

    def decided(self, image: ImageArray, posterior: Float[np.ndarray, "k h w"]) -> MaskArray:
        """The likeliest class of every pixel, after the CRF if there is one."""
        if self.config.crf is not None:
            posterior = refine(image, posterior, self.config.crf)
        return posterior.argmax(axis=0).astype(np.int32)

    def posterior(self, size: tuple[int, int], images: list[Float[Tensor, "3 _ _"]]) -> Float[np.ndarray, "k h w"]:
        """Probability of background and classes per pixel, before any CRF."""
        logits = dense_logits(self.network, images, size, self.config.flip, self.device)
        return logits.softmax(dim=0).cpu().numpy()


def load(run: str | Path, device: str | None = None) -> Predictor:
    """The trained segmenter of a run folder or of an export, ready for new images.

    Args:
        run: a folder that ``tagmask run`` or ``tagmask export`` wrote, or the file of the network in it; or the address
            ``hf://user/name@revision`` of a bundle on the Hugging Face Hub.
        device: ``cpu``, ``cuda``, ``mps`` ...; None: a GPU if there is one. Exported graphs run on the processor.

    Raises:
        TagmaskError: there is no trained segmenter, no such device, or no package that runs the graph.

    Example:
        ``mask = tagmask.load("runs/x")("photo.jpg")``
    """
    path = fetched(str(run)) if is_address(run) else Path(run)
    settings = settings_file(path)
    if settings is not None:
        return _load_export(settings.parent, read_settings(settings), device)
    place = _device(device)
    file = path / "segmenter.safetensors" if path.is_dir() else path
    if not file.exists():
        raise TagmaskError(
            f"no trained segmenter at {file}; train one with `tagmask run` or `tagmask train-segmenter`."
        )
    facts, classes = segmenter_facts(file)
    network = _trained(file, facts, len(classes))
    data = facts.data
    return Predictor(network, facts.segmenter, classes, place, data.bands, data.largest_side, is_read_as_stored(data))


def is_read_as_stored(data: AnyData) -> bool:
    """Whether photographs are not turned upright as their EXIF data say."""
    return isinstance(data, FolderData) and data.exif == "as_stored"


def _trained(file: Path, facts: "SegmenterFacts", num_classes: int) -> DeepLab:
    network = build_segmenter(facts.segmenter, facts.backbone, num_classes, load_initial=False)
    load_network(file, network)
    return network


def _load_export(folder: Path, settings: ExportSettings, device: str | None) -> Predictor:
    """The network of a folder that ``tagmask export`` wrote."""
    file = folder / settings.file
    if not file.is_file():
        raise TagmaskError(f"{folder} has no {settings.file}, which its settings name; export the run again")
    if settings.form == "bundle":
        place = _device(device)
        network: DenseNetwork = _trained(file, segmenter_facts(file)[0], len(settings.classes))
    elif device not in (None, "cpu"):
        raise TagmaskError(f"the device {device!r} cannot run {file}, whose form runs on the processor; leave it out")
    else:
        place, network = torch.device("cpu"), FORMS[settings.form](file, settings.normalization)
    as_stored = settings.exif == "as_stored"
    return Predictor(network, settings, settings.classes, place, settings.bands, settings.largest_side, as_stored)


def _device(name: str | None) -> torch.device:
    """The device of a name; None: CUDA if there is one, else Apple's MPS, else the processor."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        told = f"the device {name!r} cannot be used here: {first_line(error)}; take cpu, or leave it out"
        raise TagmaskError(told) from error
    return device


class MethodFacts(BaseModel):
    """Which method made the maps, which may be of a package that is not here."""

    kind: str


class SegmenterFacts(BaseModel):
    """What of a recipe a trained segmenter needs; the rest has done its work, and its packages need not be here."""

    name: str
    seed: int
    data: AnyData
    segmenter: SegmenterConfig
    backbone: AnyBackbone
    method: MethodFacts

    @property
    def own_backbone(self) -> AnyBackbone:
        """The backbone of the segmenter."""
        return self.segmenter.backbone or self.backbone


def segmenter_facts(file: Path) -> tuple[SegmenterFacts, tuple[str, ...]]:
    """The settings and the class names that a weights file was written with.

    Raises:
        TagmaskError: it is no segmenter of tagmask, or one of another version.
    """
    facts = read_facts(file)
    if "recipe" not in facts or "classes" not in facts:
        raise TagmaskError(f"{file} was not written by tagmask train-segmenter; give a run folder.")
    try:
        return SegmenterFacts.model_validate_json(facts["recipe"]), tuple(json.loads(facts["classes"]))
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


def pixels_of(image: AnyImage, bands: Bands | None = None, as_stored: bool = False) -> ImageArray:
    """The RGB pixels of an image; ``bands`` and ``as_stored`` say how files are read.

    Raises:
        TagmaskError: the file is no readable image, or the array is not RGB ``uint8 h w 3``.
    """
    if isinstance(image, str | Path):
        return read_photograph(Path(image), bands, as_stored)
    pixels = np.asarray(rgb(image)) if isinstance(image, Image.Image) else image
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise TagmaskError(
            f"an image array must be RGB, uint8, rows x columns x 3; got {pixels.dtype} of shape {pixels.shape}."
        )
    return pixels
