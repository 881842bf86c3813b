"""A finished run as one callable: image in, mask out."""

import json
import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int32, UInt8
from PIL import Image
from pydantic import BaseModel, ValidationError
from torch import Tensor

from tagmask.config import AnyBackbone, AnyData, MixedPrecision, SegmenterConfig
from tagmask.contracts import ImageArray, MaskArray, Normalization
from tagmask.data.images import image_size
from tagmask.data.rasters import is_placed, raster_size
from tagmask.data.windows import InMemory, Source
from tagmask.errors import TagmaskError, first_line
from tagmask.inference.exported import FORMS, DenseNetwork, ExportSettings, read_settings, settings_file
from tagmask.inference.hub import fetched, is_address
from tagmask.inference.passes import dense_logits, pyramid, resize_image
from tagmask.inference.reading import AS_THE_FILE_SAYS, AnyImage, Reading, pixels_of, reading_of
from tagmask.inference.tiles import Tiles, Tiling, checked_tiles, usual_side
from tagmask.masks.crf import refiner
from tagmask.masks.grids import long_side_factor
from tagmask.networks.backbones import build_backbone
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.folding import fold
from tagmask.networks.saved import load_network, read_facts
from tagmask.system.cloud.mirror import mirrored
from tagmask.system.cloud.urls import is_url

LARGEST = 12_500_000  # pixels: what a telephone takes; more would need memory without end


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
        reading: how photographs were read in training, and new ones are.
        tiles: side of the tiles that images are taken in at their own scale; ``none``: images are taken as a whole,
            large ones scaled down; ``auto``: tiles for georeferenced files of more than ``LARGEST`` pixels.
    """

    reading: Reading = AS_THE_FILE_SAYS
    tiles: Tiles = "auto"

    def __init__(
        self,
        network: DenseNetwork,
        config: SegmenterConfig | ExportSettings,
        classes: tuple[str, ...],
        device: torch.device,
        reading: Reading = AS_THE_FILE_SAYS,
        tiles: Tiles = "auto",
    ) -> None:
        if isinstance(network, DeepLab):
            network = network.eval().to(device).to(memory_format=torch.channels_last)
            fold(network.backbone)
        self.network = network
        self.config = config
        self.classes = classes
        self.device = device
        self.reading = reading
        self.tiles = tiles

    @property
    def normalization(self) -> Normalization:
        """How photographs are normalised for this network."""
        return self.network.normalization

    @property
    def precision(self) -> MixedPrecision:
        """Of the passes; exports compute in single precision."""
        return self.config.precision if isinstance(self.config, SegmenterConfig) else "no"

    def __call__(self, image: AnyImage) -> MaskArray:
        """Mask of one image.

        Photographs that are larger than those of the training, or than ``LARGEST`` pixels, are scaled down, and their
        masks enlarged again; or they are taken in tiles, see ``tiles``.

        Args:
            image: RGB pixels ``uint8 h w 3``, a Pillow image of any mode, or a path. An image by its path is turned
                upright as its EXIF data say; arrays and Pillow images are taken as they are.

        Returns:
            ``int32 h w``: 0 background, class i as i + 1.

        Raises:
            TagmaskError: the file is no readable image, or the array is not RGB ``uint8 h w 3``.
        """
        side = self.tile_side(Path(image) if isinstance(image, str | Path) else None)
        if side is not None:
            with self._source(image) as source:
                return np.concatenate(list(self.tiling(source, side).strips()))
        pixels = pixels_of(image, self.reading)
        size = (pixels.shape[0], pixels.shape[1])
        mask = self.mask(*self.scaled(pixels))
        return mask if mask.shape == size else enlarged(mask, size)

    def scaled(self, pixels: ImageArray) -> tuple[UInt8[np.ndarray, "_ _ 3"], list[Float[Tensor, "3 _ _"]]]:
        """A photograph at the size at which it gets its mask, and normalised at every scale."""
        size = (pixels.shape[0], pixels.shape[1])
        side = self.reading.largest_side or max(size)
        smaller = resize_image(pixels, min(largest_factor(size), side / max(size)))
        factor = long_side_factor((smaller.shape[0], smaller.shape[1]), self.config.base_long_side)
        return smaller, pyramid(smaller, [factor * scale for scale in self.config.scales], self.normalization)

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
        config = self.config
        return config.tile if isinstance(config, ExportSettings) else usual_side(config.training.augment.crop)

    def tiling(self, source: Source, side: int) -> Tiling:
        """An image in tiles, each of which is told its own tags and has its own CRF, if there are any."""
        return Tiling(source, side, self._tile_posterior, len(self.classes) + 1)

    def _tile_posterior(self, pixels: ImageArray) -> Float[np.ndarray, "k h w"]:
        images = pyramid(pixels, self.config.scales, self.normalization)
        return self._refined(pixels, self.posterior((pixels.shape[0], pixels.shape[1]), images))

    def _source(self, image: np.ndarray | Image.Image | str | Path) -> AbstractContextManager[Source]:
        if isinstance(image, str | Path):
            return self.reading.windows(Path(image))
        return nullcontext(InMemory(pixels_of(image, self.reading)))

    def mask(self, image: ImageArray, images: list[Float[Tensor, "3 _ _"]]) -> MaskArray:
        """Mask from the image and its normalised copies at every scale, for callers that read ahead."""
        return self.decided(image, self.posterior((image.shape[0], image.shape[1]), images))

    def decided(self, image: ImageArray, posterior: Float[np.ndarray, "k h w"]) -> MaskArray:
        """The likeliest class of every pixel, after the CRF if there is one."""
        return self._refined(image, posterior).argmax(axis=0).astype(np.int32)

    def _refined(self, image: ImageArray, posterior: Float[np.ndarray, "k h w"]) -> Float[np.ndarray, "k h w"]:
        crf = self.config.crf
        return posterior if crf is None else refiner(image, str(self.device))(posterior, crf)

    def posterior(self, size: tuple[int, int], images: list[Float[Tensor, "3 _ _"]]) -> Float[np.ndarray, "k h w"]:
        """Probability of background and classes per pixel, before any CRF."""
        logits = dense_logits(self.network, images, size, self.config.flip, self.device, self.precision)
        return logits.softmax(dim=0).cpu().numpy()


def load(run: str | Path, device: str | None = None, tiles: int | str = "auto") -> Predictor:
    """The trained segmenter of a run folder or of an export, ready for new images.

    Args:
        run: a folder that ``tagmask run`` or ``tagmask export`` wrote, or the file of the network in it; or the address
            ``hf://user/name@revision`` of a bundle on the Hugging Face Hub; or the URL of either in object storage, of
            which a copy is kept in a cache.
        device: ``cpu``, ``cuda``, ``mps`` ...; None: a GPU if there is one. Exported graphs run on the processor.
        tiles: ``auto``, ``none``, or the side of the tiles that images are taken in at their own scale.

    Raises:
        TagmaskError: there is no trained segmenter, no such device, no package that runs the graph, or tiles cannot
            have this side.

    Example:
        ``mask = tagmask.load("runs/x")("photo.jpg")``
    """
    chosen = checked_tiles(tiles)
    path = folder_of(run)
    settings = settings_file(path)
    if settings is not None:
        return _load_export(settings.parent, read_settings(settings), device, chosen)
    place = _device(device)
    file = path / "segmenter.safetensors" if path.is_dir() else path
    if not file.exists():
        raise TagmaskError(
            f"no trained segmenter at {file}; train one with `tagmask run` or `tagmask train-segmenter`."
        )
    facts, classes = segmenter_facts(file)
    network = _trained(file, facts, len(classes))
    return Predictor(network, facts.segmenter, classes, place, reading_of(facts.data), chosen)


def folder_of(run: str | Path) -> Path:
    """The folder or file of this machine that holds a network; of an address that of its copy.

    Raises:
        TagmaskError: it cannot be fetched.
    """
    if is_address(run):
        return fetched(str(run))
    return mirrored(str(run), shallow=True) if is_url(run) else Path(run)


def _trained(file: Path, facts: "SegmenterFacts", num_classes: int) -> DeepLab:
    network = build_segmenter(facts.segmenter, facts.backbone, num_classes, load_initial=False)
    load_network(file, network)
    return network


def _load_export(folder: Path, settings: ExportSettings, device: str | None, tiles: Tiles) -> Predictor:
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
    return Predictor(network, settings, settings.classes, place, settings.reading, tiles)


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
        return self.segmenter.backbone_of(self.backbone)


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
    config = segmenter.backbone_of(backbone)
    config = config if load_initial else config.model_copy(update={"weights": "none"})
    return DeepLab(segmenter, build_backbone(config), num_classes)
