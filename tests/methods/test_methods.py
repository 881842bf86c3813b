"""What every method promises, alone and inside PPC; a new line in METHODS is tested by itself."""

import importlib
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from tagmask.config import WRAPPERS as WRAPPER_SETTINGS
from tagmask.config import CamConfig, MethodConfig, PpcConfig, SipeConfig
from tagmask.config.methods import METHOD_KINDS
from tagmask.contracts import Batch, Method
from tagmask.methods import METHODS, WRAPPERS, build_method
from tagmask.methods.cam import Cam
from tagmask.methods.ppc import Ppc
from tagmask.testing import METHOD_PROMISES, NUM_CLASSES, random_batch, tiny_backbone


def without_dropout(config: type[MethodConfig]) -> MethodConfig:
    return config(**({"dropout": 0.0} if "dropout" in config.model_fields else {}))


PLAIN = {config.model_fields["kind"].default: without_dropout(config) for config in METHODS}
CONFIGS = PLAIN | {f"{name}-ppc": PpcConfig(base=config) for name, config in PLAIN.items()}


def built(config: MethodConfig) -> Method:
    torch.manual_seed(1)
    return build_method(config, tiny_backbone(), NUM_CLASSES)


# ── for all ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_registries_hold_a_class_for_every_kind_of_settings():
    assert {*METHODS, *WRAPPERS} == set(METHOD_KINDS.own.values())
    assert set(WRAPPERS) == set(WRAPPER_SETTINGS)
    assert len({*METHODS.values(), *WRAPPERS.values()}) == len(METHOD_KINDS.own)
    assert all(method.config_type is settings for settings, method in (METHODS | WRAPPERS).items())


def test_a_wrapper_is_built_around_what_its_settings_hold():
    found = built(PpcConfig(base=CamConfig(), width=7))
    assert isinstance(found, Ppc)
    assert isinstance(found.base, Cam)
    assert found.fc_proj.out_channels == 7


def test_methods_are_abstract_or_final():
    for method in (*METHODS.values(), Ppc):
        assert not getattr(method, "__abstractmethods__", ())
        assert method.__subclasses__() == []
        assert method.losses is Method.losses
        assert "train" not in vars(method)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("words", METHOD_PROMISES)
def test_a_method_keeps_its_promises(name, words):
    METHOD_PROMISES[words](built(CONFIGS[name]))


@pytest.mark.parametrize("name", CONFIGS)
def test_maps_lie_on_the_deepest_grid_but_for_fine_ones_before_and_after_they_are_finished(name):
    method, step = built(CONFIGS[name]), random_batch()
    with torch.no_grad():
        raw = method(step.images)
        found = method.finish(raw, step.tags)
    assert raw.maps.shape[2:] == found.maps.shape[2:] == ((9, 11) if "pyramid" in name else (5, 6))


# ── inside PPC ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=PLAIN)
def pair(request) -> tuple[Method, Method]:
    """A method, and the same weights inside PPC."""
    plain, inside = built(PLAIN[request.param]), built(PpcConfig(base=PLAIN[request.param]))
    for name, tensor in plain.state_dict().items():
        inside.state_dict()[f"base.{name}"].copy_(tensor)
    return plain.eval(), inside.eval()


def test_contrast_changes_nothing_at_inference(pair):
    plain, inside = pair
    step = random_batch()
    with torch.no_grad():
        expected, found = (method.finish(method(step.images), step.tags) for method in pair)
    for field in fields(expected):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)
    assert inside.map_normalization == plain.map_normalization


def test_projector_and_prototypes_are_not_left_for_inference(pair):
    plain, inside = pair
    left = inside.for_inference()
    assert {name: tensor.shape for name, tensor in left.state_dict().items()} == {
        name: tensor.shape for name, tensor in plain.for_inference().state_dict().items()
    }
    assert sum(p.numel() for p in left.parameters()) == sum(p.numel() for p in plain.parameters())
    assert sum(p.numel() for p in inside.parameters()) > sum(p.numel() for p in plain.parameters())


def test_the_base_is_held_once(pair):
    _, inside = pair
    assert not any(name.startswith("backbone.") for name in inside.state_dict())
    assert inside.backbone is inside.for_inference().backbone


# ── several processes ────────────────────────────────────────────────────────────────────────────────────────────────

SHARED = PLAIN | {"sipe-matched": SipeConfig(background_factor="matched")}
SHARED |= {
    f"{name}-{kind}": PpcConfig(base=config, view_scale=0.6, faithful=kind == "published")
    for name, config in SHARED.items()
    for kind in ("ppc", "published")
}


def shared_batch() -> Batch:
    """Four images with padding, each class in one of them at least."""
    step = random_batch(64, 4)
    step.valid[1, :, 50:], step.valid[2, 40:] = False, False
    return replace(step, tags=torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0], [1.0, 1, 0, 0], [0, 0, 1, 0]]))


def share(step: Batch, rank: int, processes: int) -> Batch:
    """Every ``processes``-th image, as training deals them."""
    tensors = {name: getattr(step, name)[rank::processes] for name in ("images", "tags", "valid", "saliency")}
    return replace(step, ids=step.ids[rank::processes], **tensors)


def numbers(config: MethodConfig, step: Batch) -> dict[str, torch.Tensor]:
    """Losses of a step and the gradients of their sum."""
    method = built(config).train()
    torch.manual_seed(7)
    losses = method.losses(step)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: parameter.grad for name, parameter in method.named_parameters() if parameter.grad is not None}
    return {f"loss {name}": value.detach() for name, value in losses.items()} | gradients


def train_a_share(rank: int, folder: str) -> None:
    """What each process of the test below does."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {name: numbers(config, share(shared_batch(), rank, 2)) for name, config in SHARED.items()}
    for values in found.values():
        for value in values.values():
            distributed.all_reduce(value.div_(2))
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_learn_like_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)  # new processes import this file by its plain name
    share = importlib.import_module(Path(__file__).stem).train_a_share
    multiprocessing.spawn(share, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name, config in SHARED.items():
        expected = numbers(config, shared_batch())
        assert first[name].keys() == expected.keys()
        for key, value in expected.items():
            text = f"{name}: {key}"
            torch.testing.assert_close(first[name][key], value, atol=1e-5, rtol=1e-5, msg=lambda m, t=text: f"{t}\n{m}")
            assert torch.equal(first[name][key], second[name][key])
