"""Pseudo masks of a run by Ray: its tasks are shards, on every machine that sees the run and the photographs.

The run's classifier is trained (``tagmask begin`` and ``tagmask train-method``). Then, with ``pip install ray``:

    python examples/ray_data.py runs/photos --tasks 8

On a cluster, RAY_ADDRESS says where its head is; each of its machines has tagmask installed. Ray starts a task that was
lost with its machine once more, and what the lost one had made is not made again.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import ray

SHARED = ("make-maps", "train-affinity", "make-masks")


def tagmask(*arguments: str) -> str:
    """Call tagmask in a process of its own; returns the last line that it says."""
    done = subprocess.run([sys.executable, "-m", "tagmask", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"tagmask {' '.join(arguments)} has failed:\n{done.stderr}")
    return (done.stdout.strip() or "nothing to do").splitlines()[-1]


@ray.remote(num_cpus=1, max_retries=3)
def shard(stage: str, run: str) -> str:
    """Do images of a stage that nobody else has claimed, until none are left."""
    return tagmask(stage, run, "--shard", "auto", "--set", "workers=0")


def carry_out(stage: str, run: str, tasks: int) -> None:
    """Do a stage by many tasks, and what is left of it by one call: the training behind labels, a table."""
    began = time.monotonic()
    left = [shard.remote(stage, run) for _ in range(tasks)]
    while left:
        [done], left = ray.wait(left)
        print(f"{stage}: {tasks - len(left)} of {tasks} tasks after {time.monotonic() - began:.0f} s: {ray.get(done)}")
    tagmask(stage, run)


def main() -> None:
    """Read the call and carry out all stages up to the masks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run whose classifier is trained, as all machines see it")
    parser.add_argument("--tasks", type=int, default=8, help="how many are at work at a time, each on one core")
    call = parser.parse_args()
    ray.init(log_to_driver=False)
    for stage in SHARED:
        carry_out(stage, str(call.run.resolve()), call.tasks)
    print(f"masks: {call.run / 'masks'}")


if __name__ == "__main__":
    main()
