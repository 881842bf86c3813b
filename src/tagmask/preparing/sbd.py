"""SBD, the Semantic Boundaries Dataset: its lists, and its class masks in MATLAB files."""

import struct
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8

from tagmask.data.datasets.checks import read_lines
from tagmask.errors import TagmaskError

LISTS = ("train.txt", "val.txt")
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, NotImplementedError, EOFError, zlib.error, struct.error)


def sbd_folder(root: Path) -> Path:
    """The folder with ``cls``, ``train.txt`` and ``val.txt``: the one given, or ``dataset`` below it.

    Raises:
        TagmaskError: there is none.
    """
    choices = (root, root / "dataset", root / "benchmark_RELEASE" / "dataset")
    for folder in choices:
        if (folder / "cls").is_dir() and all((folder / name).is_file() for name in LISTS):
            return folder
    raise TagmaskError(
        f"{root} holds no SBD (looked for cls/, train.txt and val.txt in {', '.join(map(str, choices))}); give "
        "benchmark.tgz, or the folder benchmark_RELEASE that comes out of it"
    )


def is_needed(name: PurePosixPath) -> bool:
    """Whether a file of SBD's archive is a list or a class mask; photographs and instances are not needed.

    >>> [is_needed(PurePosixPath(name)) for name in ("dataset/val.txt", "dataset/cls/a.mat", "dataset/inst/a.mat")]
    [True, True, False]
    """
    return name.name in LISTS or (name.parent.name == "cls" and name.suffix == ".mat")


def sbd_ids(folder: Path) -> frozenset[str]:
    """The ids of both of its lists, whose parts are other ones than VOC's."""
    return frozenset(key for name in LISTS for key in read_lines(folder / name))


def mask_file(folder: Path, key: str) -> Path:
    """The class mask of an image."""
    return folder / "cls" / f"{key}.mat"


def read_sbd_mask(path: Path) -> UInt8[np.ndarray, "h w"]:
    """The class of each pixel: 0 background, then the classes of VOC from 1; SBD leaves no pixel without label.

    Raises:
        TagmaskError: the file is missing, damaged, or holds no ``GTcls`` with a ``Segmentation``.
    """
    from scipy.io import loadmat  # noqa: PLC0415 — a second that only preparing should take
    from scipy.io.matlab import MatReadError  # noqa: PLC0415

    if not path.is_file():
        raise TagmaskError(f"no such file: {path}")
    try:
        mask = np.asarray(loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0])
    except (MatReadError, *_UNREADABLE) as error:
        raise TagmaskError(f"cannot read {path}: {error}; expected GTcls.Segmentation, as SBD has it") from error
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise TagmaskError(
            f"{path} holds a mask of {mask.ndim} axes in {mask.dtype}; expected rows x columns in uint8, as SBD has it"
        )
    return mask
