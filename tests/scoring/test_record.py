import json

import pytest

from shared_runs import TINY
from tagmask.errors import TagmaskError
from tagmask.scoring.comparison import plan
from tagmask.scoring.comparison_figures import collect
from tagmask.scoring.evaluation import evaluate
from tagmask.scoring.record import write_record
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import begin_run
from tagmask.testing import tiny_backbone  # noqa: F401


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of one recipe with two seeds, of which the first is finished."""
    out = tmp_path_factory.mktemp("out")
    planned = plan(["toy"], None, out, 2, "prediction", TINY)
    recipe = planned.competitors[0].recipe
    run = begin_run(recipe, None, planned.runs[0].folder.path)
    run_all(run)
    evaluate(run)
    return planned


def one_seed(compared):
    return plan(["toy"], None, compared.out, 1, "prediction", TINY)


def test_a_record_holds_what_repeats_a_number(compared):
    planned = one_seed(compared)
    folder = write_record(planned, collect(planned, {}), "2 cores, no GPU", "It went well.")
    lines = (folder / "README.md").read_text().splitlines()
    assert lines[0] == "# toy"
    assert [line.partition(":")[0] for line in lines[2:9]] == [
        "Command", "Data", "Seeds", "Hardware", "Versions", "Commit", "Time",
    ]  # fmt: skip
    assert lines[5] == "Hardware: 2 cores, no GPU"
    assert lines[-1] == "It went well."
    assert len(json.loads((folder / "scores.json").read_text())) == 1
    assert json.loads((folder / "recipe.json").read_text())["recipe"]["name"] == "toy"
    assert (folder / "seed0.jsonl").read_bytes() == planned.runs[0].folder.log.read_bytes()


def test_a_record_is_replaced_and_nothing_else_is(compared):
    planned = one_seed(compared)
    for words in ("once", "twice"):
        folder = write_record(planned, collect(planned, {}), "here", words)
    assert (folder / "README.md").read_text().endswith("twice\n")
    (folder / "README.md").unlink()
    with pytest.raises(TagmaskError, match="in the way of the record"):
        write_record(planned, collect(planned, {}), "here", "thrice")


def test_unfinished_runs_make_no_record(compared):
    with pytest.raises(TagmaskError, match="toy/seed-1 is not finished"):
        write_record(compared, collect(compared, {}), "here", "")
    assert not (compared.out / "record" / "seed1.jsonl").exists()
