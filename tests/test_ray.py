"""The example for Ray, on a cluster of this machine alone."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tagmask.stages.run_folder import RunFolder

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "ray_data.py"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install ray")
def test_tasks_of_ray_make_what_one_process_makes(tiny_run, tmp_path):
    run = RunFolder(shutil.copytree(tiny_run.folder.path, tmp_path / "run"))
    run.forget("make-maps")
    call = [sys.executable, EXAMPLE, run.path, "--tasks", "2"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "make-masks: 2 of 2 tasks" in done.stdout
    for kind in ("maps", "masks", "confidence"):
        made = {path.name: path.read_bytes() for path in (run.path / kind).rglob("*.*")}
        assert made == {path.name: path.read_bytes() for path in (tiny_run.folder.path / kind).rglob("*.*")}
        assert made
