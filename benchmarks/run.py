"""All benchmarks of this folder in one run: ``python benchmarks/run.py [--json FILE]`` (``make bench``).

Ratios are between members of one run. For the dense CRF beside pydensecrf, have it importable, for example
``pip install --target DIR pydensecrf2`` and ``PYTHONPATH=DIR make bench``; without it that column is left out.
"""

from collections.abc import Iterator
from functools import partial

import boundaries
import dense_crf
import depthwise
import label_synthesis
import random_walk
import seed_location
import training_steps
import whole_run
from measuring import Row, machine, print_figures
from sample_data import shared_photographs

import networks

TARGETS = (
    "random walk: 50x dense squarings, error 1e-4; stride 4 within 100 MB",
    "dense CRF: no slower than pydensecrf, 99.99 % equal labels (psa, 3 labels)",
    "label synthesis: 3x the plain chain",
    "map inference: 85 % of the bare backbone's images per second",
    "training step: 1.15 of the bare backbone's forward and backward",
    "seed location: 20x (21 channels) and 80x (81 channels) the broadcast form, within 60 MB",
    "path affinities: 5x less memory than gathering, and faster; propagation of 480 x 640: 1.5 s on 2 cores, 150 MB",
    "SEAM and EPS steps: 1.15 of their network's passes; PPC's contrast: 0.10 of a SEAM step, 20x loops over pixels",
)


BENCHMARKS = {
    "networks": networks.run,
    "random_walk": random_walk.run,
    "dense_crf": dense_crf.run,
    "depthwise": depthwise.run,
    "seed_location": seed_location.run,
    "boundaries": boundaries.run,
    "label_synthesis": label_synthesis.run,
    "training_steps": training_steps.run,
    "whole_run": partial(whole_run.run, data=shared_photographs()),
}


def run() -> Iterator[Row]:
    """Every figure of every benchmark."""
    yield "machine", machine()
    for benchmark, figures in BENCHMARKS.items():
        for name, value in figures():
            yield f"{benchmark}.{name}", value


def main() -> None:
    """Print each figure as soon as it is measured, then the targets; write JSON if asked."""
    found = print_figures(run, __doc__)
    print(f"\n{whole_run.tables(found['whole_run'])}")
    print("\ntargets:", *TARGETS, sep="\n  ")


if __name__ == "__main__":
    main()
