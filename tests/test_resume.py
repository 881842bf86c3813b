"""A run killed at random moments and resumed ends with the very files of a run that was never interrupted.

``TAGMASK_KILLS`` sets the number of kills (default 3). Their moments are drawn from all that an uninterrupted run
writes, one after the other, so that they are spread over its stages however fast the machine is; a further random delay
lets them fall between, or into the middle of, two files.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared_runs import TINY, TRAININGS

KILLS = int(os.environ.get("TAGMASK_KILLS", "3"))
LONGEST_DELAY = 0.1
SETTINGS = [
    *TINY,
    *("data.num_train=10", "masks.workers=2", "training.workers=1"),
    *(f"{name}.{setting}" for name in TRAININGS for setting in ("steps=10", "checkpoint_every=2", "log_every=1")),
]
RESULTS = (
    *("*.safetensors", "maps/**/*.npz", "affinity_labels/**/*.npz", "walks/**/*.npz", "masks/**/*.png"),
    *("confidence/**/*.png", "predictions/**/*.png", "quality.csv", "tags.json", "scores.json", "recipe.json"),
)


def start(out: Path) -> subprocess.Popen:
    """A run in its own session, so that its loader processes can be killed with it."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "-m", "tagmask", "run", "toy", "--out", str(out), *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with output(out).open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def output(out: Path) -> Path:
    return out.with_suffix(".txt")


def finish(out: Path) -> None:
    process = start(out)
    assert process.wait(300) == 0, output(out).read_text()


def progress(out: Path) -> int:
    """How much has been written: files and lines of the log."""
    log = out / "log.jsonl"
    lines = log.read_bytes().count(b"\n") if log.exists() else 0
    return lines + sum(len(files) for _, _, files in os.walk(out))


def kill_at(out: Path, moment: int, delay: float) -> bool:
    """Start or resume the run and kill it, with all its processes, that much later; False if it ended before."""
    process = start(out)
    while process.poll() is None and progress(out) < moment:
        time.sleep(0.002)
    time.sleep(delay)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def sums(out: Path) -> dict[str, str]:
    """A digest of every result."""
    files = sorted({path for pattern in RESULTS for path in out.glob(pattern)})
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_killed_and_resumed_runs_end_like_uninterrupted_ones(tmp_path):
    finish(tmp_path / "whole")
    expected = sums(tmp_path / "whole")
    assert len(expected) > 5 * 10
    chance = random.Random(KILLS)
    moments = sorted(chance.sample(range(1, progress(tmp_path / "whole") - 10), KILLS))
    killed = [kill_at(tmp_path / "killed", moment, chance.uniform(0, LONGEST_DELAY)) for moment in moments]
    assert all(killed), output(tmp_path / "killed").read_text()
    finish(tmp_path / "killed")
    assert sums(tmp_path / "killed") == expected
    assert not list((tmp_path / "killed" / "checkpoints").iterdir())
