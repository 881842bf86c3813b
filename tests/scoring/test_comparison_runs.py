import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared_runs import TINY
from tagmask.errors import TagmaskError
from tagmask.scoring import comparison_runs
from tagmask.scoring.comparison import plan
from tagmask.scoring.comparison_runs import carry_out, claim_of, refuse_failures, write_results
from tagmask.system.lock import CLAIMS
from tagmask.system.shards.claims import claimed, living


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


# ── any number of calls ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_another_call_is_at_is_left_to_it(planned, monkeypatch):
    made, said = [], []
    monkeypatch.setattr(comparison_runs, "execute", lambda _, run: made.append(str(run)))
    elsewhere = claim_of(planned, planned.runs[0])
    with claimed(elsewhere, "toy, seed 0"):
        carry_out(planned, said.append)
    assert made == ["toy+ppc, seed 0"]
    assert said[0].startswith("toy, seed 0: left to another call: toy, seed 0 (process ")
    carry_out(planned, said.append)
    assert made[1] == "toy, seed 0"


def test_what_others_have_made_in_the_meantime_is_not_made_again(planned, monkeypatch):
    made = []
    monkeypatch.setattr(type(planned), "unfinished", planned.runs)
    monkeypatch.setattr(type(planned), "is_finished", lambda _, run: run.competitor.name == "toy")
    monkeypatch.setattr(comparison_runs, "execute", lambda _, run: made.append(str(run)))
    carry_out(planned, lambda _: None)
    assert made == ["toy+ppc, seed 0"]


def test_tables_are_written_one_after_the_other(planned, monkeypatch):
    claim = planned.out / CLAIMS / "tables.json"
    monkeypatch.setattr(comparison_runs, "write_tables", lambda *_: found.append(living(claim.parent)))
    found: list[list[Path]] = []
    write_results(planned, {})
    assert found == [[claim]]
    assert living(claim.parent) == []


@pytest.mark.slow
def test_what_a_killed_call_was_at_is_free_again(tmp_path, monkeypatch):
    words = ["compare", "toy", "--until", "seed", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "tagmask", *words, *(word for each in TINY for word in ("--set", each))]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    compared = plan(["toy"], None, tmp_path, 1, "seed", TINY)
    claim, made = claim_of(compared, compared.runs[0]), []
    wait_for(claim.exists)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert claim.exists()
    monkeypatch.setattr(comparison_runs, "execute", lambda _, run: made.append(str(run)))
    carry_out(compared, lambda _: None)
    assert made == ["toy, seed 0"]
    assert not claim.exists()


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)


# ── one run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_ends_without_scores_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_runs, "_call", lambda *_: None)
    compared = plan(["toy"], None, tmp_path, 1, "seed", TINY)
    assert "without its scores (seed_best)" in str(comparison_runs.execute(compared, compared.runs[0]))


@pytest.mark.slow
def test_a_run_in_a_process_of_its_own(tmp_path):
    compared = plan(["toy"], None, tmp_path, 1, "seed", TINY)
    assert comparison_runs.execute(compared, compared.runs[0]) is None
    assert compared.unfinished == []
    log = compared.runs[0].log.read_text()
    assert log.startswith("$ tagmask run toy --out ")
    assert "report:" in log


def test_the_reason_of_a_failed_process_is_told(tmp_path):
    reason = comparison_runs._call(["tagmask", "run", "tyo", "--out", str(tmp_path / "x")], tmp_path / "logs" / "a.log")
    assert "As a recipe: no recipe 'tyo'" in str(reason)
    assert "$ tagmask run tyo" in (tmp_path / "logs" / "a.log").read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "$ tagmask run\ntrain-method 3/4\nerror: the disk is full;\nfree some space",
            "the disk is full;\nfree some space",
        ),
        ("$ tagmask run\nTraceback\n  File\nValueError: no\n", "ValueError: no"),
        ("$ tagmask run\n", "it ended with exit code -9"),
    ],
)
def test_the_reason_is_the_last_message(text, reason):
    assert comparison_runs._reason(text, -9) == reason
