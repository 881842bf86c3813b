import os

import pytest

from tagmask.choosing import machine
from tagmask.choosing.machine import GIB, Machine, this_machine


def test_a_machine_is_said_in_words():
    assert str(Machine(2, 24 * GIB)) == "2 cores, 24 GiB of memory, no GPU"
    assert str(Machine(1, 8 * GIB, 80 * GIB)) == "1 core, 8 GiB of memory, a GPU with 80 GiB"


def test_the_limits_of_a_container_and_a_scheduler_hold(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_LIMIT", limit)
    whole = this_machine().memory
    limit.write_text("max\n")
    assert this_machine().memory == whole
    limit.write_text(f"{GIB}\n")
    assert this_machine().memory == GIB


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell which cores may be used")
def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert this_machine().cores == 3
