"""The benchmark of accelerators, run where there is none: it is whole, and tells what fails."""

import json
import subprocess
import sys

import pytest
import torch

from tagmask.methods import METHODS
from test_docs import ROOT, load_script

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return load_script(BENCHMARKS / "gpu.py")


@pytest.mark.slow
def test_everything_runs_on_the_processor_and_agrees_with_itself(tmp_path):
    file = tmp_path / "found.json"
    command = [sys.executable, BENCHMARKS / "gpu.py", "--device", "cpu", "--tiny", "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(file.read_text())
    assert found["device"] == "cpu"
    rows = {(row["part"], row["what"]): row for row in found["rows"]}
    assert not [row for row in rows.values() if "error" in row or "left_out" in row]
    for config in METHODS:
        assert rows["check", f"maps of {config.model_fields['kind'].default}"]["good"]
    for row in rows.values():
        assert row.get("good", True)
        assert row.get("images_per_second", 1) > 0
    steps = [what.split(": ")[1] for part, what in rows if part == "training" and "bfloat16" in what]
    assert {"cam", "seam with ppc", "sipe", "eps with ppc", "affinitynet", "irn", "deeplab_v3plus"} < {*steps}
    assert {part for part, _ in rows} == {"check", "limits", "walk", "CRF", "maps", "prediction", "labels", "training"}


def test_an_error_is_a_row_and_the_others_follow(gpu, tmp_path, capsys):
    report = gpu.Report(torch.device("cpu"), tmp_path / "rows.json", minutes=1)
    report.row("maps", "first", lambda: {"rate": 1 / 0})
    report.row("maps", "second", lambda: {"rate": 2.5})
    report.row("check", "third", lambda: {"good": False})
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert rows[0] == {"part": "maps", "what": "first", "error": "ZeroDivisionError: division by zero"}
    assert rows[1] == {"part": "maps", "what": "second", "rate": 2.5}
    assert report.failed() == ["maps: first", "check: third"]
    assert "rate 2.5" in capsys.readouterr().out


def test_nothing_is_begun_when_the_time_is_over_and_it_is_told(gpu):
    report = gpu.Report(torch.device("cpu"), None, minutes=0)
    report.row("maps", "late", lambda: pytest.fail("begun"))
    assert report.rows == [{"part": "maps", "what": "late", "left_out": "no time left"}]
    assert report.failed() == ["maps: late"]


def test_the_limit_of_a_product_counts_its_operations(gpu, monkeypatch):
    measuring = sys.modules[gpu.Report.__module__]
    monkeypatch.setattr(measuring, "seconds_of", lambda *_: 0.5)
    one = torch.zeros(100, 100)
    found = measuring.multiplied(one, one, torch.device("cpu"), gpu.TINY)
    assert found["tera_operations_per_second"] == pytest.approx(2 * 100**3 / 0.5 / 1e12)
