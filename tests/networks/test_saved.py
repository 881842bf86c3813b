import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from disk import no_more_than
from tagmask.errors import TagmaskError
from tagmask.networks.saved import load_network, read_facts, save_weights


def layer() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(2, 3)


def test_weights_and_facts_come_back(tmp_path):
    file, network = tmp_path / "method.safetensors", layer()
    save_weights(file, network.to(memory_format=torch.contiguous_format), {"recipe": "{}", "name": "Grünspecht"})
    other = nn.Linear(2, 3)
    load_network(file, other)
    assert torch.equal(other.weight, network.weight)
    assert read_facts(file) == {"recipe": "{}", "name": "Grünspecht"}


def test_equal_weights_and_facts_make_equal_files(tmp_path):
    network = layer()
    files = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for file in files:
        save_weights(file, network, {"a": "1", "b": "2", "c": "3"})
    assert len({file.read_bytes() for file in files}) == 1


def test_channels_innermost_and_shared_weights_can_be_saved(tmp_path):
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)).to(memory_format=torch.channels_last)
    network[1].weight = network[0].weight
    save_weights(tmp_path / "x.safetensors", network, {})
    other = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    load_network(tmp_path / "x.safetensors", other)
    assert torch.equal(other[1].weight, network[0].weight)


def test_files_from_elsewhere_have_no_facts(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert read_facts(tmp_path / "x.safetensors") == {}


@pytest.mark.parametrize("content", [None, b"", b"no safetensors at all", bytes(64)])
def test_missing_and_damaged_weights_are_named(tmp_path, content):
    file = tmp_path / "method.safetensors"
    if content is not None:
        file.write_bytes(content)
    for read in (read_facts, lambda path: load_network(path, nn.Linear(2, 3))):
        with pytest.raises(TagmaskError, match=r"method.safetensors"):
            read(file)


@pytest.mark.parametrize("other", [nn.Linear(2, 4), nn.Linear(2, 3, bias=False), nn.Conv2d(2, 3, 1)])
def test_weights_of_another_network_are_refused(tmp_path, other):
    save_weights(tmp_path / "x.safetensors", layer(), {})
    with pytest.raises(TagmaskError, match=rf"cannot be loaded into {type(other).__name__}"):
        load_network(tmp_path / "x.safetensors", other)


def test_a_full_disk_leaves_the_old_weights(tmp_path):
    file, network = tmp_path / "x.safetensors", layer()
    save_weights(file, network, {})
    with no_more_than(50), pytest.raises(TagmaskError, match="free some space"):
        save_weights(file, nn.Linear(9, 9), {})
    load_network(file, nn.Linear(2, 3))


def test_weights_of_other_classes_are_those_of_another_run(tmp_path):
    network, path = nn.Linear(2, 2), tmp_path / "a.safetensors"
    save_weights(path, network, {"classes": '["cat", "dog"]'})
    load_network(path, network, ("cat", "dog"))
    with pytest.raises(TagmaskError, match="trained on the classes cat, dog, and the run has apple, zebra"):
        load_network(path, network, ("apple", "zebra"))
    save_weights(path, network, {})
    load_network(path, network, ("apple", "zebra"))  # of an earlier version, or from elsewhere
