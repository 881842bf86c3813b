"""Where SIPE puts its seeds, against the broadcast form: ``python benchmarks/seed_location.py [--json FILE]``.

Both find, for every pixel of a grid, the channel whose map agrees best with the pixel's structure. The broadcast form
follows the definition: every structure map times every channel's map, channels x pixels x pixels numbers at once, then
sums. Ours takes the sums from matrix products. Features are measured with values of both signs, as the hierarchical
features have them, and with values that are not negative, as a backbone that ends in a ReLU makes them.

The floor of features of both signs is half of the product of all pixels with all pixels: a likeness below 0 counts as
0, which no sum of products says, so that each of them is needed, once for two pixels. It is measured by itself, and so
is the machine's best, a product of square matrices.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from measuring import Row, in_new_process, in_turn, peak_megabytes, print_figures
from torch import Tensor
from torch.nn import functional as F

from tagmask.methods.likeness import unit_features
from tagmask.methods.sipe import general_maps, structure_overlap

GRID, WIDTH = (47, 63), 768  # a 375 x 500 image at scale 2 and stride 16; channels of the hierarchical features
SQUARE = 2048  # rows and columns of the product that shows what the machine can do
CHANNELS = {21: 7, 81: 5}  # channels with the background, and how often each is measured

unsigned_overlap = partial(structure_overlap, signed=False)

Features = Float[Tensor, "1 d p q"]
Maps = Float[Tensor, "1 k p q"]


def run() -> Iterator[Row]:
    """All figures: seconds are medians of all forms in turn, memory is the growth above the inputs."""
    yield "grid", GRID
    yield "feature_width", WIDTH
    yield "torch_threads", torch.get_num_threads()
    for place, (channels, repeats) in enumerate(CHANNELS.items()):
        yield f"results.{place}", compare(channels, repeats)


def compare(channels: int, repeats: int) -> dict[str, Any]:
    """Time, memory and agreement of all forms."""
    signed, maps = example(channels, GRID)
    positive, square = F.relu(signed), torch.randn(SQUARE, SQUARE)
    pixels = GRID[0] * GRID[1]
    measured = in_turn(
        lambda: located(signed, maps, broadcast_overlap),
        lambda: located(signed, maps),
        lambda: located(positive, maps, unsigned_overlap),
        lambda: product(unit_features(signed)[0].flatten(1)),
        lambda: product(square),
        repeats=repeats,
    )
    megabytes = in_new_process(broadcast_megabytes, channels)
    return {
        "channels": channels,
        "broadcast": {"seconds": measured[0], "peak_megabytes": megabytes},
        "both_signs": {"seconds": measured[1], "times_faster": measured[0] / measured[1]}
        | {"peak_megabytes": in_new_process(signed_megabytes, channels)}
        | agreement(signed, maps),
        "not_negative": {"seconds": measured[2], "times_faster": measured[0] / measured[2]}
        | {"peak_megabytes": in_new_process(positive_megabytes, channels)}
        | agreement(positive, maps, unsigned_overlap),
        "floor": {
            "seconds": measured[3] / 2,
            "share_of_both_signs": measured[3] / 2 / measured[1],
            "gigaflops": 2e-9 * pixels**2 * WIDTH / measured[3],
            "best_gigaflops": 2e-9 * SQUARE**3 / measured[4],
        },
    }


@torch.no_grad()
def product(columns: Float[Tensor, "d n"]) -> Float[Tensor, "n n"]:
    """Every column with every column."""
    return columns.T @ columns


def agreement(
    features: Features, maps: Maps, overlap: Callable[[Features, Maps], Maps] = structure_overlap
) -> dict[str, float]:
    """How far both forms are apart, and in how many pixels another channel wins."""
    ours, broadcast = overlap(features, maps), broadcast_overlap(features, maps)
    return {
        "largest_difference": float((ours - broadcast).abs().max()),
        "different_winners": int((ours.argmax(1) != broadcast.argmax(1)).sum()),
    }


def broadcast_megabytes(channels: int) -> float | None:
    return megabytes(lambda features, maps: located(features, maps, broadcast_overlap), channels)


def signed_megabytes(channels: int) -> float | None:
    return megabytes(located, channels)


def positive_megabytes(channels: int) -> float | None:
    return megabytes(lambda features, maps: located(features.relu_(), maps, unsigned_overlap), channels)


def megabytes(function: Callable[[Features, Maps], Tensor], channels: int) -> float | None:
    """Growth of resident memory while the seeds are located."""
    function(*example(channels, (8, 8)))  # loads the libraries' code
    features, maps = example(channels, GRID)
    return peak_megabytes(lambda: function(features, maps))


def example(channels: int, grid: tuple[int, int]) -> tuple[Features, Maps]:
    """Smooth random features with noise, and the general maps of smooth random scores."""
    torch.manual_seed(0)
    coarse = F.interpolate(torch.randn(1, WIDTH, 7, 9), grid, mode="bilinear")
    scores = F.interpolate(torch.randn(1, channels - 1, 12, 16), grid, mode="bilinear")
    return coarse + 0.3 * torch.randn(1, WIDTH, *grid), general_maps(scores)


def located(
    features: Features, maps: Maps, overlap: Callable[[Features, Maps], Maps] = structure_overlap
) -> Int[Tensor, "1 p q"]:
    """The winning channel of each pixel."""
    return overlap(features, maps).argmax(dim=1)


@torch.no_grad()
def broadcast_overlap(features: Features, maps: Maps) -> Maps:
    """The definition: every structure map times every channel's map, then sums over the pixels."""
    unit, flat = unit_features(features)[0].flatten(1), maps[0].flatten(1)
    structure = F.relu(unit.T @ unit)
    intersection = (structure[None] * flat[:, None]).sum(dim=2)
    union = structure.sum(dim=1) + flat.sum(dim=1, keepdim=True) - intersection
    return (intersection / union).view_as(maps)


if __name__ == "__main__":
    print_figures(run, __doc__)
