"""Who works on what: one has it at a time, and what a killed process had is free again."""

import json
import os
import subprocess
import sys
import time

import pytest

from tagmask.system.shards import claims
from tagmask.system.shards.claims import Owner, beat, claimed, living, told, waited_for

HOLD = (
    "import pathlib, sys; from tagmask.system.shards.claims import claimed\n"
    "with claimed(pathlib.Path(sys.argv[1]), 'maps 2/3') as taken: print(taken, flush=True); sys.stdin.read()"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "claims/maps.json"


@pytest.fixture
def other(path):
    """A process that has a claim until it is told to end."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"True\n"
        yield process
        process.kill()


def of_another_machine(path, seconds_ago: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = Owner(work="maps 2/3", host="node7", space=1, process=12, since="2026-01-02 03:04:05")
    path.write_text(owner.model_dump_json())
    os.utime(path, (time.time() - seconds_ago,) * 2)


def test_one_has_it_until_it_is_given_back(path):
    with claimed(path, "maps") as first, claimed(path, "maps") as second:
        assert (first, second) == (True, False)
        assert json.loads(path.read_text())["process"] == os.getpid()
    assert not path.exists()


def test_it_is_given_back_when_the_work_fails(path):
    with pytest.raises(ZeroDivisionError), claimed(path, "maps"):
        raise ZeroDivisionError
    assert not path.exists()


def test_another_process_has_it_and_no_longer_once_it_is_killed(path, other):
    with claimed(path, "maps") as taken:
        assert not taken
    assert living(path.parent) == [path]
    assert f"maps 2/3 (process {other.pid} on " in told(path)
    other.kill()
    other.wait()
    assert path.exists()
    with claimed(path, "maps") as taken:
        assert taken


def test_a_process_that_was_restarted_under_its_old_number_takes_over(path):
    with claimed(path, "maps"):
        left = path.read_text()
    path.write_text(left)
    assert living(path.parent) == []


def test_a_claim_of_another_machine_holds_while_it_is_touched(path):
    of_another_machine(path, seconds_ago=claims.LASTS - 60)
    with claimed(path, "maps") as taken:
        assert not taken
    assert told(path).startswith("maps 2/3 (process 12 on node7, since 2026-01-02 03:04:05), last heard of 5")
    of_another_machine(path, seconds_ago=claims.LASTS + 60)
    with claimed(path, "maps") as taken:
        assert taken


def test_a_claim_that_is_being_written_holds_as_one_of_another_machine(path):
    path.parent.mkdir()
    path.touch()
    assert living(path.parent) == [path]
    assert told(path).startswith("maps, last heard of 0 s ago")


def test_who_was_thought_dead_does_not_give_back_what_is_anothers(path):
    with claimed(path, "maps"):
        of_another_machine(path, seconds_ago=0)
    assert path.exists()


def test_claims_are_touched_as_work_goes_on_but_not_all_the_time(path, monkeypatch):
    with claimed(path, "maps"):
        for last, expected in ((time.monotonic(), 100.0), (time.monotonic() - claims.BEAT - 1, time.time())):
            os.utime(path, (100.0, 100.0))
            monkeypatch.setitem(claims._beats, "last", last)
            beat()
            assert path.stat().st_mtime == pytest.approx(expected, abs=60)


def test_waiting_ends_when_the_other_does(path, other, monkeypatch):
    monkeypatch.setattr(claims, "POLL", 0.01)
    monkeypatch.setattr(claims.time, "sleep", lambda _: (other.stdin.close(), other.wait()))
    with waited_for(path, "maps"):
        assert json.loads(path.read_text())["process"] == os.getpid()


def test_nothing_lives_where_nothing_is(tmp_path):
    assert living(tmp_path / "nowhere") == []
