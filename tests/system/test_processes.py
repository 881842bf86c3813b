import pytest
import torch

from tagmask.system.processes import on_cpu, this_process


@pytest.mark.parametrize(
    ("has_accelerator", "asked", "expected"), [(True, "", False), (True, "true", True), (False, "", True)]
)
def test_the_cpu_is_used_if_asked_for_or_if_there_is_nothing_else(monkeypatch, has_accelerator, asked, expected):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: has_accelerator)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    if asked:
        monkeypatch.setenv("ACCELERATE_USE_CPU", asked)
    assert on_cpu() == expected


def test_a_process_alone_is_the_first_of_one():
    process = this_process()
    assert process.is_main_process
    assert (process.process_index, process.num_processes) == (0, 1)
    process.wait_for_everyone()
