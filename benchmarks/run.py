"""All benchmarks of this folder in one run: ``python benchmarks/run.py [--json FILE]`` (``make bench``).

Ratios are between members of one run. For the dense CRF beside pydensecrf, have it importable, for example
``pip install --target DIR pydensecrf2`` and ``PYTHONPATH=DIR make bench``; without it that column is left out.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import boundaries
import dense_crf
import random_walk
import seed_location
import torch
import training_steps

import networks

TARGETS = (
    "random walk: 50x dense squarings, error 1e-4; stride 4 within 100 MB",
    "dense CRF: no slower than pydensecrf, 99.99 % equal labels (psa, 3 labels)",
    "map inference: 85 % of the bare backbone's images per second",
    "training step: 1.15 of the bare backbone's forward and backward",
    "seed location: 20x (21 channels) and 80x (81 channels) the broadcast form, within 60 MB",
    "path affinities: 5x less memory than gathering, and faster; propagation of 480 x 640: 1.5 s on 2 cores, 150 MB",
    "SEAM and EPS steps: 1.15 of their network's passes; PPC's contrast: 0.10 of a SEAM step, 20x loops over pixels",
)


def rows(found: object, name: str = "") -> Iterator[tuple[str, object]]:
    """The leaves of nested figures with dotted names."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from rows(value, f"{name}.{key}" if name else str(key))
    elif isinstance(found, list):
        for number, value in enumerate(found):
            yield from rows(value, f"{name}.{number}")
    else:
        yield name, found


def main() -> None:
    """Run everything, print a table and the targets, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "networks": networks.run(),
        "random_walk": random_walk.run(),
        "dense_crf": dense_crf.run(),
        "seed_location": seed_location.run(),
        "boundaries": boundaries.run(),
        "training_steps": training_steps.run(),
    }
    for name, value in rows(found):
        print(f"{name:<60} {value:.4g}" if isinstance(value, float) else f"{name:<60} {value}")
    print("\ntargets:", *TARGETS, sep="\n  ")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
