import pytest
import torch

from tagmask.errors import TagmaskError
from tagmask.networks.mixed_precision import is_quick_in_bf16, mixed_precision


@pytest.mark.parametrize(
    ("precision", "quick", "dtype"),
    [
        ("no", True, torch.float32),
        ("bf16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_products_are_computed_as_asked_or_as_is_quick(precision, quick, dtype, monkeypatch):
    monkeypatch.setattr("tagmask.networks.mixed_precision.is_quick_in_bf16", lambda device: quick)
    one = torch.randn(3, 3)
    with mixed_precision(precision, torch.device("cpu")):
        assert (one @ one).dtype == dtype
    assert (one @ one).dtype == torch.float32


def test_weights_rounded_by_a_pass_without_gradients_do_not_keep_the_next_from_learning():
    weight, features = torch.randn(3, 3, requires_grad=True), torch.randn(3, 3)
    with mixed_precision("bf16", torch.device("cpu")):
        with torch.no_grad():
            _ = features @ weight
        assert not torch.is_autocast_cache_enabled()
        (features @ weight).sum().backward()
    assert weight.grad is not None


def test_single_precision_asks_nothing_of_a_device():
    with mixed_precision("no", torch.device("meta")):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("bf16", "amx", "expected"), [(True, False, True), (False, True, True), (False, False, False)])
def test_a_processor_is_asked_for_its_instructions(bf16, amx, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert is_quick_in_bf16(torch.device("cpu")) is expected


def test_a_torch_that_tells_nothing_has_nothing(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert is_quick_in_bf16(torch.device("cpu")) is False


@pytest.mark.parametrize("real", [True, False])
def test_a_gpu_must_not_imitate_them(real, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or real)
    assert is_quick_in_bf16(torch.device("cuda")) is real


def test_a_gpu_without_them_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GeForce GTX 580")
    with pytest.raises(TagmaskError, match=r"GeForce GTX 580 cannot .* set it to auto or no"):
        mixed_precision("bf16", torch.device("cuda"))
    with mixed_precision("auto", torch.device("cuda")):
        assert not torch.is_autocast_enabled("cuda")


@pytest.mark.parametrize("device", ["mps", "meta", "xpu"])
def test_other_devices_stay_in_single_precision(device):
    assert not is_quick_in_bf16(torch.device(device))
