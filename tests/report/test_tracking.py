"""The trackers that write to the disk, told by a run from its first training to its scores."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tagmask
from shared_runs import tiny_recipe
from tagmask.report.run_report import evaluate_and_write
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import begin_run

SOURCE = Path(tagmask.__file__).parents[1]


def tracked_run(folder, name):
    trackers = [f"{training}.trackers=[{name}]" for training in ("training", "affinity.training", "segmenter.training")]
    run = begin_run(tiny_recipe(*trackers, "report.num_images=1"), None, folder)
    run_all(run)
    return run, evaluate_and_write(run)[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own
def test_tensorboard_shows_losses_scores_and_pictures(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    run, scores = tracked_run(tmp_path / "run", "tensorboard")
    numbers, pictures = {}, set()
    for file in (run.folder.path / "tensorboard").glob("events*"):
        events = EventAccumulator(str(file)).Reload()
        numbers |= {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
        pictures |= set(events.Tags()["images"])
    assert {"method/tags", "method/rate", "segmenter/pixels"} <= numbers.keys()
    assert [event.step for event in numbers["segmenter/pixels"]] == [1, 4]
    assert numbers["results/mask"][0].value == pytest.approx(100 * scores["mask"]["mean_iou"])
    assert {"results/train/00000/photograph", "results/train/00000/pseudo mask"} <= pictures


MLFLOW = """
import json, sys
sys.path.insert(0, {tests!r})
from test_tracking import tracked_run
import mlflow
mlflow.set_tracking_uri({place!r})
tracked_run(__import__("pathlib").Path({folder!r}), "mlflow")
found = mlflow.search_runs(experiment_names=["photos"], output_format="list")
print(json.dumps({{each.info.run_name: each.data.metrics for each in found}}))
"""


@pytest.mark.slow
def test_mlflow_shows_them_too(tmp_path):
    """In a process of its own: mlflow changes what ``importlib.metadata`` returns to everybody."""
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("mlflow is not installed")
    here, place = Path(__file__).parent, (tmp_path / "mlruns").as_uri()
    program = MLFLOW.format(tests=str(here), place=place, folder=str(tmp_path / "photos"))
    surroundings = os.environ | {"MLFLOW_ALLOW_FILE_STORE": "true", "PYTHONPATH": f"{here}:{here.parent}:{SOURCE}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=surroundings, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.keys() == {"method", "affinity", "segmenter", "results"}
    assert told["results"]["results/mask"] > 0
    assert {"method/tags", "method/rate"} <= told["method"].keys()
    assert list(tmp_path.rglob("pseudo mask.png"))
