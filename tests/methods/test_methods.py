"""What every method promises, alone and inside PPC; a new line in METHODS is tested by itself."""

import importlib
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import distributed, multiprocessing, nn

from conftest import tiny_backbone
from tagmask.config import AnyBase, AnyMethod, MethodConfig, PpcConfig, SipeConfig
from tagmask.contracts import Batch, Method
from tagmask.methods import METHODS, build_method
from tagmask.methods.ppc import Ppc

CLASSES = 4


def without_dropout(config: type[MethodConfig]) -> MethodConfig:
    return config(**({"dropout": 0.0} if "dropout" in config.model_fields else {}))


PLAIN = {config.model_fields["kind"].default: without_dropout(config) for config in METHODS}
CONFIGS = PLAIN | {f"{name}-ppc": PpcConfig(base=config) for name, config in PLAIN.items()}


def built(config: MethodConfig) -> Method:
    torch.manual_seed(1)
    return build_method(config, tiny_backbone(), CLASSES)


@pytest.fixture(params=CONFIGS)
def method(request) -> Method:
    return built(CONFIGS[request.param])


def batch(size: int = 33, number: int = 3) -> Batch:
    random = torch.Generator().manual_seed(5)
    return Batch(
        ids=tuple(map(str, range(number))),
        images=torch.randn(number, 3, size, size + 8, generator=random),
        tags=torch.rand(number, CLASSES, generator=random).round(),
        valid=torch.ones(number, size, size + 8, dtype=torch.bool),
        saliency=torch.rand(number, 1, size, size + 8, generator=random),
    )


# ── for all ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_registry_and_the_settings_agree():
    assert set(METHODS) == set(get_args(get_args(AnyBase)[0]))
    assert {*METHODS, PpcConfig} == set(get_args(get_args(AnyMethod)[0]))
    assert len(set(METHODS.values())) == len(METHODS)
    assert all(issubclass(method, Method) for method in METHODS.values())


def test_methods_are_abstract_or_final():
    for method in (*METHODS.values(), Ppc):
        assert not getattr(method, "__abstractmethods__", ())
        assert method.__subclasses__() == []
        assert method.losses is Method.losses
        assert "train" not in vars(method)


def test_activations_are_what_the_contract_says(method):
    with torch.no_grad():
        found = method(batch().images)
    assert found.logits.shape == (3, CLASSES)
    assert found.maps.shape == (3, CLASSES, 5, 6)
    assert found.embedding.shape[2:] == found.maps.shape[2:]
    assert found.background is None or found.background.shape == (3, 1, 5, 6)
    assert (found.maps >= 0).all()
    assert (found.maps > 0).any()


def test_training_and_inference_share_one_forward_pass(method):
    with torch.no_grad():
        trained, inferred = method.train()(batch().images), method.eval()(batch().images)
    assert torch.equal(trained.maps, inferred.maps)


def test_inference_is_repeatable_and_images_do_not_see_each_other(method):
    images = batch().images
    with torch.no_grad():
        together, again = method.eval()(images), method(images)
        alone = method(images[1:2])
    assert torch.equal(together.logits, again.logits)
    torch.testing.assert_close(together.maps[1:2], alone.maps)
    torch.testing.assert_close(together.logits[1:2], alone.logits)


TAGS = torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]])


def finished(method: Method, images: torch.Tensor, tags: torch.Tensor | None, training: bool) -> torch.Tensor:
    """Finished maps of a repeatable pass, after the background if there is one."""
    with torch.no_grad():
        found = method.eval()(images)
        found = method.train(training).finish(found, tags)
    return found.maps if found.background is None else torch.cat([found.background, found.maps], dim=1)


@pytest.mark.parametrize("training", [True, False])
def test_finished_activations_are_what_the_contract_says(method, training):
    images = batch().images
    with torch.no_grad():
        raw = method.train(training)(images)
        found = method.finish(raw, TAGS)
    assert found.maps.shape == (3, CLASSES, 5, 6)
    assert torch.equal(found.logits, raw.logits)
    assert found.background is None or found.background.shape == (3, 1, 5, 6)
    for grid in (found.maps,) if found.background is None else (found.maps, found.background):
        assert grid.isfinite().all()
        assert (grid >= 0).all()
    assert (found.maps[:2][TAGS[:2] == 1].amax(dim=(1, 2)) > 0).any()


@pytest.mark.parametrize("training", [True, False])
def test_an_image_without_tags_or_with_nothing_known_is_finite(method, training):
    for tags in (torch.zeros_like(TAGS), torch.ones_like(TAGS), None):
        assert finished(method, batch().images, tags, training).isfinite().all()


@pytest.mark.parametrize("training", [True, False])
def test_finishing_does_not_let_images_see_each_other(method, training):
    images = batch().images
    together = finished(method, images, TAGS, training)
    for i in range(3):
        alone = finished(method, images[i : i + 1], TAGS[i : i + 1], training)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_losses_are_named_finite_scalars(method):
    losses = method.train().losses(batch())
    assert losses
    assert len(method.views(batch().images)) == method.num_views
    for name, value in losses.items():
        assert name.isidentifier()
        assert value.shape == ()
        assert value.isfinite()


@pytest.mark.parametrize("tags", [0.0, 1.0])
def test_losses_are_finite_for_images_with_no_tag_or_all(method, tags):
    step = batch()
    extreme = replace(step, tags=torch.full_like(step.tags, tags))
    assert all(value.isfinite() for value in method.losses(extreme).values())


def test_every_learning_parameter_is_in_one_group_and_gets_a_gradient(method):
    grouped = [id(parameter) for group in method.parameter_groups() for parameter in group.parameters]
    learning = {id(parameter): name for name, parameter in method.named_parameters() if parameter.requires_grad}
    assert sorted(grouped) == sorted(learning)
    torch.stack(list(method.train().losses(batch()).values())).sum().backward()
    without = [
        name for name, parameter in method.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert without == []  # distributed training would stop


def test_the_backbone_is_old_and_the_rest_is_new(method):
    backbone = {id(parameter) for parameter in method.backbone.parameters()}
    for group in method.parameter_groups():
        assert {id(parameter) in backbone for parameter in group.parameters} == {not group.new}


def test_frozen_parameters_are_in_no_group(method):
    method.backbone.convolutions[0].requires_grad_(False)
    grouped = {id(parameter) for group in method.parameter_groups() for parameter in group.parameters}
    assert id(method.backbone.convolutions[0].weight) not in grouped
    assert id(method.backbone.convolutions[1].weight) in grouped


ORDER = torch.tensor([2, 0, 3, 1])


@torch.no_grad()
def rename(method: Method) -> None:
    """Put the classes of every classifier in another order; a background comes first and stays."""
    for layer in method.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and len(layer.weight) in (CLASSES, CLASSES + 1):
            foreground = layer.weight[-CLASSES:]
            foreground.copy_(foreground[ORDER].clone())


def test_every_way_of_renaming_the_classes_renames_logits_and_maps(method):
    images = batch().images
    with torch.no_grad():
        before = method.eval()(images)
        rename(method)
        after = method(images)
    torch.testing.assert_close(after.maps, before.maps[:, ORDER])
    torch.testing.assert_close(after.logits, before.logits[:, ORDER])


@pytest.mark.parametrize("training", [True, False])
def test_renaming_the_classes_renames_finished_maps(method, training):
    images = batch().images
    before = finished(method, images, TAGS, training)
    rename(method)
    after = finished(method, images, TAGS[:, ORDER], training)
    background = before.shape[1] - CLASSES
    torch.testing.assert_close(after[:, :background], before[:, :background], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after[:, background:], before[:, background:][:, ORDER], atol=1e-5, rtol=1e-5)


def test_map_normalization_is_one_that_the_pipeline_knows(method):
    assert method.map_normalization in ("max", "min_max")


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
    step = batch()
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
    step = batch(64, 4)
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
