"""A method and an affinity network in a package of their own: installed, found by name, run, compared."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shared_runs import TINY
from tagmask.config.recipes import recipe_text

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "tagmask-top"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that the example is installed into, without touching this environment or asking any index."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / EXAMPLE.name)
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def call(*arguments: object, path: Path | None = None) -> str:
    """What a command prints, with a folder on the path of modules."""
    environment = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings(*more: str) -> list[str]:
    return [part for setting in (*TINY, *more) for part in ("--set", setting)]


METHOD = "method={kind: top, share: 0.4}"


def test_it_is_listed_with_the_package_that_brings_it(installed):
    text = " ".join(call("-m", "tagmask", "methods", path=installed).split())
    assert "top tagmask_top:Top tagmask-top 0.1.0" in text
    assert "plain tagmask_top.plain:Plain tagmask-top 0.1.0" in text


def test_its_own_tests_pass(installed):
    call("-m", "pytest", "-q", "-c", EXAMPLE / "pyproject.toml", EXAMPLE / "tests", path=installed)


@pytest.mark.slow
def test_it_runs_and_is_compared_alone_and_inside_ppc(installed, tmp_path):
    recipe = yaml.safe_load(recipe_text("toy")) | {"name": "toy-top", "method": {"kind": "top", "share": 0.4}}
    (tmp_path / "top.yaml").write_text(yaml.safe_dump(recipe))
    names, out = (tmp_path / "top.yaml", f"{tmp_path / 'top.yaml'}+ppc"), tmp_path / "compare"
    call("-m", "tagmask", "compare", *names, "--until", "mask", "--out", out, *settings(), path=installed)
    found = json.loads((out / "comparison.json").read_text())
    assert [recipe["method"] for recipe in found["recipes"]] == ["top", "ppc(top)"]
    assert all(recipe["runs"][0]["finished"] for recipe in found["recipes"])
    assert {"seed_best", "mask"} <= found["recipes"][1]["scores"].keys()


@pytest.mark.slow
def test_both_run_and_the_network_that_is_left_needs_neither(installed, tmp_path):
    training = "{steps: 2, batch_size: 2, rate: 0.001, augment: {crop: 48}}"
    affinity = f"affinity={{kind: plain, stride: 4, radius: 3, training: {training}}}"
    call("-m", "tagmask", "run", "toy", "--out", tmp_path / "run", *settings(METHOD, affinity), path=installed)
    again = call("-m", "tagmask", "evaluate", tmp_path / "run", path=installed)
    assert "segmentation network" in again
    image = "numpy.zeros((48, 48, 3), 'uint8')"
    code = f"import numpy, tagmask; print(tagmask.load({str(tmp_path / 'run')!r})({image}).shape)"
    assert call("-c", code).strip() == "(48, 48)"


def test_without_the_package_the_kind_is_unknown_and_nothing_begins(tmp_path):
    command = ["-m", "tagmask", "run", "toy", "--out", str(tmp_path / "run"), "--set", METHOD]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "method: unknown kind 'top'; known: cam, seam, eps, sipe, pyramid, ppc" in done.stderr
    assert not (tmp_path / "run").exists()
