import pytest
import torch
from torch import nn

from disk import no_more_than
from tagmask.errors import TagmaskError
from tagmask.training import checkpoints


def trained(width: int = 3, steps: int = 2) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A layer after a few steps, with momentum to remember."""
    torch.manual_seed(width)
    network = nn.Linear(2, width)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    return network, optimizer


def saved(folder, *steps: int) -> None:
    for step in steps:
        checkpoints.save_checkpoint(folder, "method", step, *trained(steps=step))


def names(folder) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


# ── checkpoints ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_saved_means_from_the_start(tmp_path):
    network, optimizer = trained()
    before = network.weight.clone()
    assert checkpoints.resume(tmp_path, "method", network, optimizer) == 0
    assert torch.equal(network.weight, before)


def test_weights_and_momentum_come_back(tmp_path):
    saved(tmp_path, 5)
    network, optimizer = trained(steps=0)
    assert checkpoints.resume(tmp_path, "method", network, optimizer) == 5
    expected, expected_optimizer = trained(steps=5)
    assert torch.equal(network.weight, expected.weight)
    for ours, theirs in zip(optimizer.state.values(), expected_optimizer.state.values(), strict=True):
        assert torch.equal(ours["momentum_buffer"], theirs["momentum_buffer"])


def test_two_are_kept_and_the_newest_is_used(tmp_path):
    saved(tmp_path, 1, 2, 10)
    assert names(tmp_path) == ["method-00000002.pt", "method-00000010.pt"]
    assert checkpoints.resume(tmp_path, "method", *trained()) == 10


def test_stages_do_not_see_each_other(tmp_path):
    saved(tmp_path, 4)
    assert checkpoints.resume(tmp_path, "segmenter", *trained()) == 0
    checkpoints.save_checkpoint(tmp_path, "segmenter", 9, *trained())
    checkpoints.drop(tmp_path, "segmenter")
    assert names(tmp_path) == ["method-00000004.pt"]


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "tail lost": lambda content: content[:-30],
    "no archive": lambda content: b"not a checkpoint",
    "zeros": lambda content: bytes(len(content)),
    "flipped bits": lambda content: content.replace(b"network", b"netwerk"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, damage):
    saved(tmp_path, 3, 6)
    newest = tmp_path / "checkpoints" / "method-00000006.pt"
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    network, optimizer = trained(steps=0)
    assert checkpoints.resume(tmp_path, "method", network, optimizer) == 3
    assert torch.equal(network.weight, trained(steps=3)[0].weight)


def test_changed_numbers_are_noticed(tmp_path):
    saved(tmp_path, 3)
    file = tmp_path / "checkpoints" / "method-00000003.pt"
    content = file.read_bytes()
    numbers = trained(steps=3)[0].weight.detach().numpy().tobytes()
    assert content.count(numbers) == 1
    file.write_bytes(content.replace(numbers, bytes(reversed(numbers))))
    assert checkpoints.resume(tmp_path, "method", *trained()) == 0


def test_all_damaged_means_from_the_start(tmp_path):
    saved(tmp_path, 3, 6)
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"")
    assert checkpoints.resume(tmp_path, "method", *trained()) == 0


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    saved(tmp_path, 3)
    with pytest.raises(TagmaskError, match=r"method-00000003.pt is a checkpoint of another network.*Remove it"):
        checkpoints.resume(tmp_path, "method", *trained(width=7))


def test_a_checkpoint_never_runs_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code in a checkpoint was run",))

    file = tmp_path / "checkpoints" / "method-00000001.pt"
    file.parent.mkdir()
    torch.save({"step": 1, "network": Trap(), "optimizer": {}}, file)
    assert checkpoints.resume(tmp_path, "method", *trained()) == 0


def test_half_written_files_are_not_used(tmp_path):
    saved(tmp_path, 3)
    (tmp_path / "checkpoints" / ".1-a1b2.tmp.pt").write_bytes(b"half")
    assert checkpoints.resume(tmp_path, "method", *trained()) == 3


def test_checkpoints_go_when_the_training_is_over(tmp_path):
    saved(tmp_path, 3, 6)
    checkpoints.drop(tmp_path, "method")
    assert names(tmp_path) == []


def test_a_full_disk_is_explained_and_leaves_the_old_checkpoint(tmp_path):
    saved(tmp_path, 3)
    with no_more_than(100), pytest.raises(TagmaskError, match=r"cannot write .*method-00000006.pt.*free some space"):
        saved(tmp_path, 6)
    assert names(tmp_path) == ["method-00000003.pt"]
