"""Store trajectories of trainings anew: ``PYTHONPATH=src python tests/golden/make.py NAME ...``, or ``all``.

WARNING: this is a decision, not a repair. The stored numbers were made when the losses had been checked against the
code of the papers' authors. Whoever stores others says: trainings are meant to change, and runs from now on are not
those of before. Do it only for the trainings that a change is about, read what is printed, and say in the commit why.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import trajectories  # noqa: E402 - lies beside the tests
from tagmask.system.storage import write_bytes  # noqa: E402


def commit() -> str:
    """The commit the code stands at, and whether the package differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + (" and changes" if git("status", "--porcelain", "src") else "")


def made(name: str) -> dict[str, object]:
    """How a trajectory is made."""
    return {
        "command": f"PYTHONPATH=src python tests/golden/make.py {name}",
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": platform.machine(),
        "seed": trajectories.SEED,
    }


def written(values: object) -> object:
    """The same with 9 significant digits, 1000 times finer than what is compared."""
    if isinstance(values, float):
        return float(f"{values:.9g}")
    if isinstance(values, dict):
        return {name: written(each) for name, each in values.items()}
    return [written(each) for each in values] if isinstance(values, list | tuple) else values


def text(content: dict[str, object]) -> str:
    """JSON with a line for each loss and each tensor."""
    lines = []
    for name, block in content.items():
        rows = (
            [f"  {json.dumps(key)}: {json.dumps(each)}" for key, each in block.items()]
            if isinstance(block, dict)
            else []
        )
        inner = "{\n" + ",\n".join(rows) + "\n }" if rows else json.dumps(block)
        lines.append(f" {json.dumps(name)}: {inner}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def store(name: str) -> None:
    """Walk a training, say what is different from what was stored, and store it."""
    path = trajectories.FOLDER / f"{name}.json"
    found = trajectories.walk(trajectories.CASES[name])
    if path.exists():
        lines = trajectories.differences(found, json.loads(path.read_text()))
        sys.stdout.write("".join(f"{name}: {line}\n" for line in lines or ["as it was"]))
        if not lines:
            return
    write_bytes(path, text({"made": made(name), **{key: written(each) for key, each in found.items()}}).encode())


if __name__ == "__main__":
    names = [*trajectories.CASES] if sys.argv[1:] == ["all"] else sys.argv[1:]
    unknown = [name for name in names if name not in trajectories.CASES]
    if unknown or not names:
        sys.exit(f"{__doc__}\nNames: {', '.join(trajectories.CASES)}" + (f"\nUnknown: {unknown}" if unknown else ""))
    torch.set_num_threads(1)
    for each in names:
        store(each)
