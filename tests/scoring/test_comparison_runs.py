import pytest

from conftest import TINY
from tagmask.errors import TagmaskError
from tagmask.scoring import comparison_runs
from tagmask.scoring.comparison import plan
from tagmask.scoring.comparison_runs import carry_out, refuse_failures


@pytest.fixture
def planned(tmp_path):
    return plan(["toy", "toy+ppc"], None, tmp_path, 1, "seed", TINY)


def test_a_run_that_fails_keeps_no_other_from_being_made(planned, monkeypatch):
    made = []

    def execute(_, run):
        made.append(run.competitor.name)
        return "no space left" if run.competitor.name == "toy" else None

    monkeypatch.setattr(comparison_runs, "execute", execute)
    said = []
    figures, failures = carry_out(planned, said.append)
    assert made == ["toy", "toy+ppc"]
    assert [line.split(":")[0] for line in said] == ["toy, seed 0", "toy+ppc, seed 0"]
    assert figures.recipes[0].runs[0].error == "no space left"
    assert (planned.out / "comparison.md").exists()
    with pytest.raises(TagmaskError, match=r"1 of 2 runs failed; the same command continues them:\n.*no space left"):
        refuse_failures(planned, failures)


def test_without_failures_there_is_nothing_to_refuse(planned):
    refuse_failures(planned, {})
