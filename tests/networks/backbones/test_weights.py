import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from networks.backbones.timm_settings import timm_backbone
from tagmask.errors import TagmaskError
from tagmask.networks.backbones.from_timm import FromTimm
from tagmask.networks.backbones.weights import load_state, load_weights, read_weights


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(1)
    return timm.create_model("test_resnet", pretrained=False, num_classes=7)


def same_weights(backbone: FromTimm, source: nn.Module) -> bool:
    stored = source.state_dict()
    return all(torch.equal(tensor, stored[name]) for name, tensor in backbone.model.state_dict().items())


def test_safetensors_load_without_their_classifier(source, tmp_path):
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    assert same_weights(FromTimm(timm_backbone(weights=str(tmp_path / "w.safetensors"))), source)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_pth_is_unwrapped(source, tmp_path, wrapper):
    state = {f"module.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    assert same_weights(FromTimm(timm_backbone(weights=str(tmp_path / "w.pth"))), source)


def test_misfits_are_named(source):
    network, state = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), {}
    state = network.state_dict()
    del state["1.num_batches_tracked"]
    load_state(network, state, "file")
    with pytest.raises(TagmaskError, match=r"file do not fit Sequential: 1 missing \(1.bias\)"):
        load_state(network, {k: v for k, v in state.items() if k != "1.bias"}, "file")
    with pytest.raises(TagmaskError, match=r"1 unexpected \(extra\)"):
        load_state(network, {**state, "extra": torch.zeros(1)}, "file")
    with pytest.raises(TagmaskError, match=r"0.bias \(5,\) for \(4,\)"):
        load_state(network, {**state, "0.bias": torch.zeros(5)}, "file")


class Payload:
    def __reduce__(self):
        return print, ("run",)


def test_unreadable_files_are_refused(tmp_path, capsys):
    with pytest.raises(TagmaskError, match="no weights file"):
        read_weights(tmp_path / "absent.pth")
    (tmp_path / "w.onnx").write_bytes(b"x")
    with pytest.raises(TagmaskError, match=r"expected a \.safetensors"):
        read_weights(tmp_path / "w.onnx")
    for name in ("garbage.pth", "garbage.safetensors"):
        (tmp_path / name).write_bytes(b"\x01garbage" * 9)
        with pytest.raises(TagmaskError, match="could not be read"):
            read_weights(tmp_path / name)
    torch.save({"a": Payload()}, tmp_path / "code.pth")
    with pytest.raises(TagmaskError, match="more than tensors"):
        read_weights(tmp_path / "code.pth")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    with pytest.raises(TagmaskError, match="no state dict"):
        read_weights(tmp_path / "numbers.pth")
    assert capsys.readouterr().out == ""


def test_the_first_three_misfits_of_each_kind_are_named(tmp_path):
    save_file({f"layer{i}": torch.zeros(1) for i in range(5)}, tmp_path / "w.safetensors")
    with pytest.raises(TagmaskError, match=r"5 unexpected \(layer0, layer1, layer2, \.\.\.\)") as raised:
        load_weights(nn.Linear(2, 1), tmp_path / "w.safetensors")
    assert "2 missing (weight, bias);" in str(raised.value)
    assert "w.safetensors" in str(raised.value)


def test_a_classifier_is_loaded_by_the_network_that_has_one_and_left_out_by_the_others():
    own = nn.ModuleDict({"fc": nn.Linear(2, 1, bias=False)})
    load_state(own, {"fc.weight": torch.tensor([[3.0, 4.0]]), "head.weight": torch.zeros(9)}, "file")
    assert own["fc"].weight.tolist() == [[3.0, 4.0]]
    load_state(nn.Identity(), {"fc.weight": torch.zeros(1, 2)}, "file")
    with pytest.raises(TagmaskError, match=r"1 unexpected \(fcx\.weight\)"):
        load_state(own, {"fc.weight": torch.zeros(1, 2), "fcx.weight": torch.zeros(1)}, "file")


def test_a_refused_file_leaves_the_network_as_it_was():
    network = nn.Linear(2, 1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(TagmaskError):
        load_state(network, {"weight": torch.zeros(1, 2)}, "file")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
