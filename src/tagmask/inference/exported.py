"""Networks that `tagmask export` has written, opened again: what a predictor needs of a network, in three forms.

Each form takes normalised images and returns logits, as `DeepLab` does. The packages that run them are imported when
the first network of their form is opened.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from tagmask.config import Config, CrfConfig
from tagmask.contracts import Images, Normalization
from tagmask.conventions import Form
from tagmask.data.stretch import Stretch
from tagmask.errors import TagmaskError, first_line
from tagmask.inference.reading import Bands, Reading
from tagmask.inference.tiles import LEAST
from tagmask.system.extras import require
from tagmask.system.storage import read_json_as

SETTINGS = "settings.json"
SUFFIXES = (".onnx", ".xml", ".pt2")

Precision = Literal["float32", "int8-dynamic", "int8-static"]
_Three = tuple[float, float, float]


@runtime_checkable
class DenseNetwork(Protocol):
    """All that a predictor needs of a network."""

    @property
    def normalization(self) -> Normalization:
        """How photographs must be normalised."""
        ...

    def __call__(self, images: Images) -> Float[Tensor, "b k _ _"]:
        """Class scores before the softmax, background first, on a grid of any size."""
        ...


class ExportSettings(Config):
    """``settings.json`` of an exported network: all that is done to a photograph before and after it."""

    tagmask_export: Literal[1] = Field(default=1, description="Version of this file's form.")
    form: Form = Field(description="What the file of the network is.")
    file: str = Field(pattern=r"^\w[\w.-]*$", description="The file of the network, beside this one.")
    precision: Precision = Field(default="float32", description="Numbers that the network computes with.")
    classes: tuple[str, ...] = Field(description="Names without background; mask value i + 1 is class i.")
    palette: tuple[tuple[int, int, int], ...] = Field(description="Colour of each mask value, background first.")
    mean: _Three = Field(description="RGB mean that is taken off, of values in [0, 1].")
    std: _Three = Field(description="RGB deviation that they are then divided by.")
    scales: tuple[PositiveFloat, ...] = Field(min_length=1, description="Image scales whose logits are averaged.")
    flip: bool = Field(description="Whether the mirrored image is averaged too.")
    base_long_side: PositiveInt | None = Field(description="Long side that images are brought to before the scales.")
    largest_side: PositiveInt | None = Field(description="Long side that larger photographs are scaled down to.")
    largest_pixels: PositiveInt = Field(description="Pixels that larger photographs are scaled down to.")
    padding: Literal["inside the network"] = Field(
        default="inside the network", description="Who brings an image to the strides of the network."
    )
    bands: Bands | None = Field(description="Bands of a file that are red, green and blue; none: as it says.")
    exif: Literal["upright", "as_stored"] = Field(description="Whether photographs are turned as their EXIF says.")
    stretch: tuple[float, float] | None = Field(
        default=None, description="Percentiles of a band of more than 8 bits that become black and white."
    )
    stretch_values: tuple[tuple[float, float], ...] | None = Field(
        default=None, description="Numbers of bands of more than 8 bits that become black and white."
    )
    tile: PositiveInt = Field(default=LEAST, description="Side of tiles for large images, unless another is asked for.")
    crf: CrfConfig | None = Field(description="Dense CRF on the probabilities; none: none.")

    @property
    def normalization(self) -> Normalization:
        """How photographs must be normalised."""
        return Normalization(self.mean, self.std)

    @property
    def reading(self) -> Reading:
        """How photographs are read."""
        stretch = Stretch(self.stretch, self.stretch_values)
        return Reading(self.bands, self.largest_side, self.exif == "as_stored", stretch)


def settings_file(path: Path) -> Path | None:
    """The settings that belong to an exported network, given its folder or its file; None: it is something else.

    Raises:
        TagmaskError: a file of an exported network without settings beside it.
    """
    if path.is_dir():
        return path / SETTINGS if (path / SETTINGS).is_file() else None
    if path.suffix not in SUFFIXES or not path.is_file():
        return None
    beside = path.with_name(SETTINGS)
    if not beside.is_file():
        raise TagmaskError(
            f"{path} has no {SETTINGS} beside it, which says how photographs are prepared for it; give the folder that "
            "`tagmask export` wrote"
        )
    return beside


def read_settings(file: Path) -> ExportSettings:
    """The settings of an exported network.

    Raises:
        TagmaskError: they are damaged, or of another version.
    """
    return read_json_as(file, ExportSettings.model_validate, "restore it, or export the run again")


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class ExportedNetwork(ABC):
    """A network in a form of its own, on the processor, with as many threads as torch has.

    Args:
        file: of the network.
        normalization: how photographs must be normalised.

    Raises:
        TagmaskError: its package is missing, or the file is damaged.
    """

    def __init__(self, file: Path, normalization: Normalization) -> None:
        self.normalization = normalization
        try:
            self.open(file)
        except TagmaskError:
            raise
        except Exception as error:  # each package has errors of its own, and some are plain RuntimeErrors
            raise TagmaskError(f"{file} cannot be opened: {first_line(error)}; export the run again") from error

    @abstractmethod
    def open(self, file: Path) -> None:
        """Load the file."""

    @abstractmethod
    def __call__(self, images: Images) -> Float[Tensor, "b k _ _"]:
        """Class scores before the softmax, background first, on the network's grid."""


@final
class OnnxNetwork(ExportedNetwork):
    """Run by onnxruntime."""

    def open(self, file: Path) -> None:
        """Load the file."""
        require("export", "onnxruntime")
        import onnxruntime  # noqa: PLC0415 (optional)

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors alone
        self._session: Any = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, images: Images) -> Float[Tensor, "b k _ _"]:
        """Class scores before the softmax, background first, on the network's grid."""
        return torch.from_numpy(self._session.run(None, {self._input: images.contiguous().numpy()})[0])


@final
class OpenvinoNetwork(ExportedNetwork):
    """Run by OpenVINO."""

    def open(self, file: Path) -> None:
        """Load the file."""
        require("openvino", "openvino")
        import openvino  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (optional)

        wanted = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled: Any = openvino.Core().compile_model(file, "CPU", wanted)

    def __call__(self, images: Images) -> Float[Tensor, "b k _ _"]:
        """Class scores before the softmax, background first, on the network's grid."""
        # A copy: the next call writes into the same memory.
        return torch.tensor(self._compiled(images.contiguous().numpy())[0])


@final
class TorchExportNetwork(ExportedNetwork):
    """Run by torch, without the code that the network was written in."""

    def open(self, file: Path) -> None:
        """Load the file."""
        # Its guards believe that what differed in the traced example always does; grids of tiny images may be alike.
        self._module: Any = torch.export.load(file).module(check_guards=False)

    def __call__(self, images: Images) -> Float[Tensor, "b k _ _"]:
        """Class scores before the softmax, background first, on the network's grid."""
        return self._module(images.contiguous())


FORMS: dict[str, type[ExportedNetwork]] = {
    "onnx": OnnxNetwork,
    "openvino": OpenvinoNetwork,
    "torch-export": TorchExportNetwork,
}
