"""Whole runs of two versions of tagmask in turns: ``python benchmarks/two_versions.py BEFORE AFTER --data FOLDER``.

BEFORE and AFTER are ``src`` folders of two checkouts. Each runs ``folder-cpu`` on a few photographs with a few steps a
training, as ``tagmask run`` in a process of its own; seconds of a step are the median of its log, those of an image the
stage's seconds shared by its images. ``--set`` changes both, for example the weights.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from measuring import machine, write_figures

TRAININGS = {"train-method": "method", "train-affinity": "affinity", "train-segmenter": "segmenter"}
PER_IMAGE = ("make-maps", "make-masks", "predict", "revise-masks")
SHORT = tuple(
    f"{block}.{setting}"
    for block in ("training", "affinity.training", "segmenter.training")
    for setting in ("steps=12", "epochs=null", "workers=0", "log_every=1")
)
FIRST = 2  # steps that warm up


def measured(source: Path, data: Path, images: int, settings: list[str]) -> dict[str, float]:
    """Seconds of a step, or of an image, of every stage of a run."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        changes = (*SHORT, "maps.workers=0", f"data.max_images={images}", *settings)
        words = ["run", "folder-cpu", "--data", str(data), "--out", str(out)]
        command = [sys.executable, "-m", "tagmask", *words, *(word for each in changes for word in ("--set", each))]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd=place)
        manifest = json.loads((out / "manifest.json").read_text())
        log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    found = {stage: _step(log, name) for stage, name in TRAININGS.items()}
    return found | {stage: manifest[stage]["seconds"] / images for stage in PER_IMAGE if stage in manifest}


def _step(log: list[dict], stage: str) -> float:
    times = [line["seconds"] for line in log if line.get("stage") == stage and "step" in line]
    return statistics.median(late - early for early, late in [*pairwise(times)][FIRST:])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="src of the one")
    parser.add_argument("after", type=Path, help="src of the other")
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder with tags.csv, as many images in both splits"
    )
    parser.add_argument("--images", type=int, default=40, help="of each split")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write every turn to this file")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    sources = {"before": arguments.before.resolve(), "after": arguments.after.resolve()}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
    for _ in range(arguments.turns):
        for name, source in sources.items():
            turns[name].append(measured(source, arguments.data.resolve(), arguments.images, arguments.settings))
            print(name, {stage: round(seconds, 3) for stage, seconds in turns[name][-1].items()}, flush=True)
    for name, each in turns.items():
        print(name, {stage: round(statistics.median(turn[stage] for turn in each), 3) for stage in each[0]})
    write_figures(arguments.json, turns | {"images": arguments.images, "machine": machine()})


if __name__ == "__main__":
    main()
