"""Dense CRF of one image on one thread, beside pydensecrf where that can be imported.

    python benchmarks/dense_crf.py [--json FILE]

pydensecrf is no dependency. ``pip install --target FOLDER pydensecrf2`` builds it (a compiler is needed); then run with
``PYTHONPATH=FOLDER``. Both sides filter the same synthetic photograph of 375 x 500 pixels in turns, 10 iterations, and
the medians are compared. ``build`` is the time for the lattices, ``inference`` for the iterations.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float32, UInt8
from measuring import Median, Row, now, print_figures

from tagmask.config import CRF_PRESETS, CrfConfig
from tagmask.masks.crf import Lattices, dense_crf, unary_from_labels, unary_from_probabilities

try:
    from pydensecrf.densecrf import DenseCRF2D  # pyright: ignore[reportMissingImports]  # optional, for comparison
except ImportError:
    DenseCRF2D = None

SIZE = (375, 500)
PRESETS = ("psa", "irn", "deeplab")
NUM_LABELS = (3, 21)

Posterior = Float32[np.ndarray, "k h w"]
Timed = tuple[Posterior, float, float]


def photograph(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Smooth shading, a disc, patches of texture and sensor noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    shading = [np.sin(x / 40 + y / 90) * 80 + 128, np.cos(y / 55) * 70 + 128, np.sin((x - y) / 70) * 60 + 100]
    patches = rng.normal(0, 12, (height // 4 + 1, width // 4 + 1, 3)).repeat(4, axis=0).repeat(4, axis=1)
    image = np.stack(shading, axis=-1) + patches[:height, :width] + rng.normal(0, 4, (height, width, 3))
    image[(y - height / 2) ** 2 + (x - width / 2) ** 2 < 100**2] += [60, -40, 20]
    return np.clip(image, 0, 255).astype(np.uint8)


def probabilities(num_labels: int, height: int, width: int) -> Posterior:
    """Broad bumps, one a label, as activation maps have them."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    middles = rng.uniform(0, 1, (num_labels, 2)) * (height, width)
    radii = rng.uniform(40, 120, num_labels)
    bumps = [(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in middles]
    scores = np.exp(3 * np.exp(-np.stack(bumps) / (2 * radii[:, None, None] ** 2)))
    return (scores / scores.sum(axis=0)).astype(np.float32)


def ours(image: UInt8[np.ndarray, "h w 3"], unary: Posterior, config: CrfConfig) -> Timed:
    start = now()
    lattices = Lattices(image)
    lattices.weighted_kernels(config)
    built = now()
    posterior = dense_crf(image, unary, config, lattices)
    return posterior, built - start, now() - built


def theirs(image: UInt8[np.ndarray, "h w 3"], unary: Posterior, config: CrfConfig) -> Timed:
    assert DenseCRF2D is not None
    num_labels, height, width = unary.shape
    model = DenseCRF2D(width, height, num_labels)
    model.setUnaryEnergy(unary.reshape(num_labels, -1))
    start = now()
    model.addPairwiseGaussian(sxy=config.gaussian_sxy, compat=config.gaussian_weight)
    deviations = {"sxy": config.bilateral_sxy, "srgb": config.bilateral_srgb}
    model.addPairwiseBilateral(**deviations, rgbim=image, compat=config.bilateral_weight)
    built = now()
    posterior = np.asarray(model.inference(config.iterations))
    return posterior.reshape(unary.shape), built - start, now() - built


def unary_of(config: CrfConfig, num_labels: int) -> Posterior:
    maps = probabilities(num_labels, *SIZE)
    if config.unary == "soft":
        return unary_from_probabilities(maps)
    return unary_from_labels(maps.argmax(axis=0), num_labels, config.gt_prob)


def compare(config: CrfConfig, num_labels: int, repeats: int) -> dict:
    """Seconds of either side, medians, and how far apart the results are."""
    image, unary = photograph(*SIZE), unary_of(config, num_labels)
    sides: dict[str, Callable[..., Timed]] = {"ours": ours} | ({"pydensecrf": theirs} if DenseCRF2D else {})
    ours(image, unary, config)  # compiles
    runs = [{name: side(image, unary, config) for name, side in sides.items()} for _ in range(repeats)]
    result: dict = {"num_labels": num_labels, "iterations": config.iterations}
    for name in sides:
        seconds = {
            "build_s": [run[name][1] for run in runs],
            "inference_s": [run[name][2] for run in runs],
            "total_s": [run[name][1] + run[name][2] for run in runs],
        }
        result[name] = {part: Median(values) for part, values in seconds.items()}
    if DenseCRF2D:
        result |= agreement(runs[-1]["ours"][0], runs[-1]["pydensecrf"][0])
        result["times_faster"] = result["pydensecrf"]["total_s"] / result["ours"]["total_s"]
    return result


def agreement(mine: Posterior, other: Posterior) -> dict[str, float]:
    equal = (mine.argmax(axis=0) == other.argmax(axis=0)).mean()
    return {"equal_labels": float(equal), "largest_difference": float(np.abs(mine - other).max())}


def run(repeats: int = 5) -> Iterator[Row]:
    """All presets and numbers of labels; see ``compare`` for the entries of ``results``."""
    yield from {"image": SIZE, "threads": 1, "repeats": repeats}.items()
    for place, (preset, num_labels) in enumerate(itertools.product(PRESETS, NUM_LABELS)):
        yield f"results.{place}", {"preset": preset} | compare(CRF_PRESETS[preset], num_labels, repeats)


if __name__ == "__main__":
    print_figures(run, __doc__)
