import pytest
import torch
from torch import distributed

from tagmask.system.processes import gathered, num_processes, of_first_process, on_cpu, own_share, this_process


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


def test_a_process_alone_has_everything_and_agrees_with_itself():
    share = torch.arange(3.0, requires_grad=True)
    assert num_processes() == 1
    assert torch.equal(gathered(share), share)
    assert not gathered(share).requires_grad
    assert own_share(share) is share
    assert of_first_process(share) is share


@pytest.fixture
def second_of_three(monkeypatch):
    """This process is told to be the second of three, and what the others would send."""
    whole = torch.arange(6)

    def all_gather(parts, sent):
        assert sent.dtype != torch.bool  # not every backend sends truth values
        assert sent.tolist() == whole[1::3].tolist()
        for rank, part in enumerate(parts):
            part.copy_(whole[rank::3].to(sent.dtype))

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed, "all_gather", all_gather)
    return whole


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_shares_come_back_in_the_order_they_were_dealt_from(second_of_three, dtype):
    found = gathered(torch.tensor([1, 4], dtype=dtype))
    assert found.dtype == dtype
    assert found.tolist() == [0, 1, 2, 3, 4, 5]


def test_truth_values_travel_as_numbers_and_come_back_as_they_were(second_of_three):
    second_of_three.copy_(torch.tensor([1, 0, 0, 1, 1, 0]))
    found = gathered(torch.tensor([False, True]))
    assert found.tolist() == [True, False, False, True, True, False]


def test_the_own_share_is_what_was_dealt(second_of_three):
    assert own_share(torch.arange(6.0)).tolist() == [1, 4]
