"""A finished run as one callable: image in, mask out."""

import json
import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int32
from PIL import Image
from pydantic import BaseModel, ValidationError
from torch import Tensor

from tagmask.config import AnyBackbone, AnyData, FolderData, SegmenterConfig
from tagmask.contracts import ImageArray, MaskArray, Normalization
from tagmask.data.images import image_size
from tagmask.data.orientation import read_photograph
from tagmask.data.rasters import is_placed, open_windows, raster_size
from tagmask.data.stretch import DEFAULT, Stretch, stretch_of
from tagmask.data.windows import InMemory, Source
from tagmask.errors import TagmaskError
from tagmask.inference.passes import dense_logits, pyramid, resize_image
from tagmask.inference.tiles import Tiles, Tiling, checked_tiles, usual_side
from tagmask.masks.crf import refine
from tagmask.masks.grids import long_side_factor
from tagmask.networks.backbones import build_backbone
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.saved import load_network, read_facts

LARGEST = 12_500_000  # pixels: what a telephone takes; more would need memory without end

Bands = tuple[int, int, int]


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
        network: a trained segmenter.
        config: its prediction settings.
        classes: class names without background; mask value i + 1 is class i.
        device: where to compute.
        bands: which bands of image files it was trained on as red, green and blue; None: as the files say.
        largest_side: long side that larger photographs were scaled down to in training, and are here; None: they were
            not.
        as_stored: whether photographs that EXIF turns are taken as they are stored.
        tiles: side of the tiles that images are taken in at their own scale; ``none``: images are taken as a whole,
            large ones scaled down; ``auto``: tiles for georeferenced files of more than ``LARGEST`` pixels.

    Attributes:
        stretch: how image files' numbers of more than 8 bits become 8 bits, as in training.
    """

    stretch: Stretch = DEFAULT
    tiles: Tiles = "auto"

    def __init__(
        self,
        network: DeepLab,
        config: SegmenterConfig,
        classes: tuple[str, ...],
        device: torch.device,
        bands: Bands | None = None,
        largest_side: int | None = None,
        as_stored: bool = False,
        tiles: Tiles = "auto",
    ) -> None:
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)
        self.config = config
        self.classes = classes
        self.device = device
        self.bands: Bands | None = bands
        self.largest_side: int | None = largest_side
        self.as_stored = as_stored
        self.tiles = tiles

    @property
    def normalization(self) -> Normalization:
        """How photographs are normalised for this network."""
        return self.network.backbone.normalization

    def __call__(self, image: np.ndarray | Image.Image | str | Path) -> MaskArray:
        """Mask of one image.

        Photographs that are larger than those of the training, or than ``LARGEST`` pixels, are scaled down, and their
        masks enlarged again; or they are taken in tiles, see ``tiles``.

        Args:
            image: RGB pixels ``uint8 h w 3``, a Pillow image, or a path.

        Returns:
            ``int32 h w``: 0 background, class i as i + 1.

        Raises:
            TagmaskError: the file is no readable image, or the array is not RGB ``uint8 h w 3``.
        """
        side = self.tile_side(Path(image) if isinstance(image, str | Path) else None)
        if side is not None:
            with self._source(image) as source:
                return np.concatenate(list(self.tiling(source, side).strips()))
        pixels = self.read(Path(image)) if isinstance(image, str | Path) else _pixels(image)
        size = (pixels.shape[0], pixels.shape[1])
        side = max(size) if self.largest_side is None else self.largest_side
        smaller = resize_image(pixels, min(largest_factor(size), side / max(size)))
        factor = long_side_factor((smaller.shape[0], smaller.shape[1]), self.config.base_long_side)
        scales = [factor * scale for scale in self.config.scales]
        mask = self.mask(smaller, pyramid(smaller, scales, self.normalization))
        return mask if mask.shape == size else enlarged(mask, size)

    def read(self, path: Path) -> ImageArray:
        """A photograph as those of the training were read: their bands, turned upright or not.

        Raises:
            TagmaskError: it is no readable image.
        """
        return read_photograph(path, self.bands, self.as_stored, self.stretch)

    def windows(self, path: Path) -> AbstractContextManager[Source]:
        """The same, to be read in parts.

        Raises:
            TagmaskError: it is no readable image.
        """
        return open_windows(path, self.bands, self.as_stored, self.stretch)

    def tile_side(self, path: Path | None) -> int | None:
        """Side of the tiles that an image is taken in; None: as a whole, as are pixels (no path) unless asked for."""
        if self.tiles != "auto":
            return None if self.tiles == "none" else self.tiles
        size = None if path is None else image_size(path) or raster_size(path)
        if path is None or size is None or size[0] * size[1] <= LARGEST or not is_placed(path):
            return None
        return self.usual_side

    @property
    def usual_side(self) -> int:
        """Side of tiles for this network, unless another one is asked for."""
        return usual_side(self.config.training.augment.crop)

    def tiling(self, source: Source, side: int) -> Tiling:
        """An image in tiles, each of which is told its own tags and has its own CRF, if there are any."""
        return Tiling(source, side, self._tile_posterior, len(self.classes) + 1)

    def _tile_posterior(self, pixels: ImageArray) -> Float[np.ndarray, "k h w"]:
        images = pyramid(pixels, self.config.scales, self.normalization)
        return self._refined(pixels, self.posterior((pixels.shape[0], pixels.shape[1]), images))

    def _source(self, image: np.ndarray | Image.Image | str | Path) -> AbstractContextManager[Source]:
        if isinstance(image, str | Path):
            return self.windows(Path(image))
        return nullcontext(InMemory(_pixels(image)))

    def mask(self, image: ImageArray, images: list[Float[Tensor, "3 _ _"]]) -> MaskArray:
        """Mask from the image and its normalised copies at every scale, for callers that read ahead."""
        posterior = self._refined(image, self.posterior((image.shape[0], image.shape[1]), images))
        return posterior.argmax(axis=0).astype(np.int32)

    def _refined(self, image: ImageArray, posterior: Float[np.ndarray, "k h w"]) -> Float[np.ndarray, "k h w"]:
        return posterior if self.config.crf is None else refine(image, posterior, self.config.crf)

    def posterior(self, size: tuple[int, int], images: list[Float[Tensor, "3 _ _"]]) -> Float[np.ndarray, "k h w"]:
        """Probability of background and classes per pixel, before any CRF."""
        logits = dense_logits(self.network, images, size, self.config.flip, self.device)
        return logits.softmax(dim=0).cpu().numpy()


def load(run: str | Path, device: str | None = None, tiles: int | str = "auto") -> Predictor:
    """The trained segmenter of a run folder, ready for new images.

    Args:
        run: a folder that ``tagmask run`` wrote, or a ``segmenter.safetensors`` file out of one.
        device: ``cpu``, ``cuda``, ``mps`` ...; None: a GPU if there is one.
        tiles: ``auto``, ``none``, or the side of the tiles that images are taken in at their own scale.

    Raises:
        TagmaskError: there is no trained segmenter, no such device, or tiles cannot have this side.

    Example:
        ``mask = tagmask.load("runs/x")("photo.jpg")``
    """
    place = _device(device)
    path = Path(run)
    file = path / "segmenter.safetensors" if path.is_dir() else path
    if not file.exists():
        raise TagmaskError(
            f"no trained segmenter at {file}; train one with `tagmask run` or `tagmask train-segmenter`."
        )
    facts, classes = _facts(file)
    network = build_segmenter(facts.segmenter, facts.backbone, len(classes), load_initial=False)
    load_network(file, network)
    as_stored = isinstance(facts.data, FolderData) and facts.data.exif == "as_stored"
    data, chosen = facts.data, checked_tiles(tiles)
    predictor = Predictor(network, facts.segmenter, classes, place, data.bands, data.largest_side, as_stored, chosen)
    predictor.stretch = stretch_of(data)
    return predictor


def _device(name: str | None) -> torch.device:
    """The device of a name; None: CUDA if there is one, else Apple's MPS, else the processor."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TagmaskError(f"the device {name!r} cannot be used here: {reason}; take cpu, or leave it out") from error
    return device


class _Facts(BaseModel):
    """What of a recipe a trained segmenter needs; the rest has done its work, and its packages need not be here."""

    data: AnyData
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


def _pixels(image: np.ndarray | Image.Image) -> ImageArray:
    pixels = np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise TagmaskError(
            f"an image array must be RGB, uint8, rows x columns x 3; got {pixels.dtype} of shape {pixels.shape}."
        )
    return pixels
