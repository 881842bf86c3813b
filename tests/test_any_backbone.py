"""Any backbone in any place: each family of models under every method, affinity network, segmenter and recipe."""

import copy
import functools
import math
import time

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch.nn import functional as F

from networks.backbones.timm_settings import FAMILIES, timm_backbone
from shared_runs import SIZE, TINY, tiny_recipe
from tagmask.affinity import build_affinity_net
from tagmask.config import AffinityNetConfig, AnyMethod, IrnConfig, SegmenterConfig, TrainingConfig
from tagmask.config.recipes import load_recipe, recipe_names
from tagmask.contracts import Backbone, Batch, Trainable
from tagmask.data.images import read_mask
from tagmask.errors import TagmaskError
from tagmask.inference import predictor
from tagmask.methods import build_method
from tagmask.networks.backbones import build_backbone
from tagmask.networks.deeplab import DeepLab
from tagmask.stages import checks
from tagmask.stages.checks import check_networks
from tagmask.stages.pipeline import run_all
from tagmask.stages.run import begin_run
from tagmask.training.engine import build_optimizer

CLASSES = 3
ROWS, COLUMNS = 65, 97
TRAINING = {"steps": 2, "rate": 0.01, "augment": {"crop": 64}}
METHODS = {
    "cam": {"kind": "cam"},
    "seam": {"kind": "seam"},
    "eps": {"kind": "eps", "equivariance": {}},
    "sipe": {"kind": "sipe"},
}
METHOD_SETTINGS = TypeAdapter(AnyMethod)
SEGMENTERS = {"deeplab_v1": [12], "deeplab_v2": [6, 12], "deeplab_v3": [0, 6, 12], "deeplab_v3plus": [6, 12]}


def backbone_of(family: str) -> Backbone:
    backbone = copy.deepcopy(_built(family))
    torch.manual_seed(0)
    return backbone


@functools.cache
def _built(family: str) -> Backbone:
    """Building takes longer than a step of training."""
    torch.manual_seed(0)
    return build_backbone(timm_backbone(FAMILIES[family], batch_norm="frozen"))


def batch(masks: torch.Tensor | None = None) -> Batch:
    random = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, ROWS, COLUMNS, generator=random)
    tags = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    saliency = torch.zeros(2, 1, ROWS, COLUMNS)
    saliency[:, :, 20:50, 30:60] = 1
    return Batch(("a", "b"), images, tags, torch.ones(2, ROWS, COLUMNS, dtype=torch.bool), masks, saliency)


def labels(rows: int, columns: int) -> torch.Tensor:
    masks = torch.zeros(2, rows, columns, dtype=torch.long)
    masks[:, rows // 4 :, columns // 3 :], masks[1, :2] = 1, -1
    return masks


def step(network: Trainable, content: Batch) -> dict[str, float]:
    """One step of training; every parameter that learns must get a gradient, as several processes demand."""
    optimizer = build_optimizer(network.parameter_groups(), TrainingConfig.model_validate(TRAINING))
    losses = network.train().losses(content)
    torch.stack(list(losses.values())).sum().backward()
    named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert [name for name, parameter in named.items() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in named.values())
    optimizer.step()
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in named.values()}
    return {name: loss.item() for name, loss in losses.items()}


def reached(backbone: Backbone) -> float:
    """Length of the gradient that has come to a backbone."""
    return sum(float(p.grad.square().sum()) for p in backbone.parameters() if p.grad is not None) ** 0.5


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "ppc"])
@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_teaches_every_backbone(family, kind, wrapped):
    method = {"kind": "ppc", "base": METHODS[kind]} if wrapped else METHODS[kind]
    network = build_method(METHOD_SETTINGS.validate_python(method), backbone_of(family), CLASSES)
    losses = step(network, batch())
    assert all(torch.tensor(value).isfinite() for value in losses.values())
    assert reached(network.backbone) > 0
    with torch.no_grad():
        found = network.eval()(batch().images)
    stride = network.backbone.stride
    assert found.maps.shape == (2, CLASSES, -(-ROWS // stride), -(-COLUMNS // stride))


@pytest.mark.parametrize("config", [AffinityNetConfig, IrnConfig], ids=["affinitynet", "irn"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_affinity_network_learns_on_every_backbone(family, config):
    network = build_affinity_net(config.model_validate({"training": TRAINING}), backbone_of(family))
    grid = -(-ROWS // network.stride), -(-COLUMNS // network.stride)
    step(network, batch(labels(*grid)))
    assert len(network.levels) in (3, 4, 5)
    assert len(network.backbone.levels) - 1 in network.levels
    with torch.no_grad():
        found = network.eval().neighbourhood(batch().images)
    assert found.affinities.shape == (2, len(network.offsets), *grid)
    assert found.affinities.isfinite().all()


@pytest.mark.parametrize("family", ["convnext", "vit", "dinov2"])
def test_boundaries_of_mirrored_images_are_mirrored_where_patches_do_not_fit(family):
    """Images are completed to whole cells and patches at one side, so that both passes have the same cells."""
    network = build_affinity_net(IrnConfig.model_validate({"training": TRAINING}), backbone_of(family)).eval()
    whole, images = math.lcm(network.stride, network.backbone.multiple), batch().images
    completed = F.pad(images, (0, -COLUMNS % whole, 0, -ROWS % whole))
    with torch.no_grad():
        found, wanted = network.boundary(images), network.boundary(completed)
        mirrored = network.boundary(completed.flip(-1)).flip(-1)
    assert found.shape == (2, 1, 17, 25)
    torch.testing.assert_close(found, wanted[:, :, :17, :25])
    torch.testing.assert_close(mirrored, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", SEGMENTERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_segmenter_learns_on_every_backbone(family, kind):
    settings = {"kind": kind, "rates": SEGMENTERS[kind], "width": 16, "low_level_width": 8, "training": TRAINING}
    network = DeepLab(SegmenterConfig.model_validate(settings), backbone_of(family), CLASSES)
    step(network, batch(labels(ROWS, COLUMNS)))
    assert reached(network.backbone) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_stages_are_counted_and_frozen_in_every_backbone(family):
    """The stem and what lies before the first level's end is the first stage, whatever its modules are called."""
    whole = build_backbone(timm_backbone(FAMILIES[family]))
    count = len(whole.stages())
    assert count >= len({level.stride for level in whole.levels})
    still = build_backbone(timm_backbone(FAMILIES[family], frozen_stages=2, batch_norm="train"))
    learning = [any(p.requires_grad for m in stage for p in m.parameters()) for stage in still.stages()]
    assert learning[:3] == [False, False, True]
    grids = still.train().forward_levels(torch.randn(2, 3, 64, 64))
    assert [grid.requires_grad for grid in grids][:3] == [False, False, True]
    with pytest.raises(TagmaskError, match=rf"frozen_stages is 40, but the backbone has {count}"):
        build_backbone(timm_backbone(FAMILIES[family], frozen_stages=40))


# ── recipes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", FAMILIES.values())
def test_every_recipe_can_be_begun_with_every_backbone(model, monkeypatch):
    """By the very check of a beginning; each backbone is built once, as most recipes ask for the same."""
    build = functools.cache(checks.bare_backbone)
    monkeypatch.setattr(checks, "bare_backbone", build)
    plain = [name for name in recipe_names() if load_recipe(name).method.kind != "ppc"]
    for name in [*recipe_names(), *(f"{name}+ppc" for name in plain)]:
        check_networks(load_recipe(name, [f"backbone.model={model}"]), 20)
    assert build.cache_info().hits > len(recipe_names()) / 2


def test_the_check_is_quick_and_needs_no_memory_for_the_largest_recipe():
    check_networks(tiny_recipe(), CLASSES)
    start = time.process_time()
    check_networks(load_recipe("voc-eps", ["backbone.model=vit_large_patch14_dinov2"]), 20)
    assert time.process_time() - start < 5


REFUSED = {
    "backbone.model=convnext-tiny9": "did you mean convnext_tiny",
    "backbone.model=mixer_s32_224": "does not take every image size",
    "affinity.levels=[1, 2, 40]": r"affinity.levels is \[1, 2, 40\], but the backbone has 5 levels; choose from 0 to 4",
    "method={kind: sipe, levels: [0, 9]}": r"method.levels is \[0, 9\], but",
    "method={kind: seam, equivariance: {levels: [0, 9]}}": r"equivariance.levels is \[0, 9\], but",
    "method={kind: ppc, base: {kind: sipe, levels: [9]}}": r"method.levels is \[9\], but",
    "backbone={kind: timm, model: test_vit, weights: none, output_stride: 8}": "set output_stride: 16",
    "segmenter.backbone={kind: timm, model: test_vit, weights: none}": "segmenter.initial is `method`",
    "affinity.backbone.model=test_vit": "affinity.initial is `method`",
    "backbone.frozen_stages=9": "frozen_stages is 9, but the backbone has 5",
    "segmenter.training.augment.crop=7": "segmenter.training.augment.crop is 7 pixels, less than one cell",
    "segmenter.kind=deeplab_v1": r"set rates: \[12\]",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_cannot_be_built_is_refused_before_anything_is_begun(tmp_path, setting):
    with pytest.raises(TagmaskError, match=REFUSED[setting]):
        begin_run(tiny_recipe(setting), None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_patch_larger_than_the_crop_is_refused(tmp_path):
    settings = ["backbone.model=vit_tiny_patch16_224", "training.augment.crop=12"]
    with pytest.raises(TagmaskError, match=r"training.augment.crop is 12 pixels, less than one cell.*\(16 pixels\)"):
        begin_run(tiny_recipe(*settings), None, tmp_path / "run")


def test_a_stride_that_is_set_is_refused_and_one_of_the_recipe_is_said_to_be_ignored(tmp_path):
    with pytest.raises(TagmaskError, match="'test_vit' yields stride 16 and cannot have output_stride 8"):
        begin_run(tiny_recipe("backbone.model=test_vit", "backbone.output_stride=8"), None, tmp_path / "run")
    run = begin_run(tiny_recipe("backbone.model=test_vit"), None, tmp_path / "run")
    assert "test_vit has cells of 16 pixels; backbone.output_stride=8 is ignored." in run.found()
    run = begin_run(tiny_recipe("backbone.model=test_convnext"), None, tmp_path / "other")
    assert "cells of" not in run.found()


def test_a_network_that_looks_at_its_numbers_is_built_in_earnest(monkeypatch):
    class Vain(torch.nn.Module):
        def __init__(self, *arguments):
            super().__init__()
            float(torch.zeros(()))

    devices = []
    monkeypatch.setattr(checks, "build_affinity_net", lambda *_: devices.append(torch.zeros(()).device.type) or Vain())
    check_networks(tiny_recipe(), CLASSES)
    assert devices == ["meta", "cpu"]


# ── from tags to masks ───────────────────────────────────────────────────────────────────────────────────────────────

END_TO_END = {
    "resnet": ("toy-seam-ppc", []),
    "convnext": ("toy-sipe", []),
    "efficientnet": ("toy-eps", []),
    "vit": ("toy-ppc", []),
    "dinov2": ("toy-seam", ["affinity={kind: irn, training: {steps: 2, rate: 0.001, augment: {crop: 48}}}"]),
    "registers": ("toy", ["segmenter.kind=deeplab_v2"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_recipe_goes_all_the_way_with_every_backbone(tmp_path, family):
    name, changes = END_TO_END[family]
    recipe = load_recipe(name, [*changes, *TINY, f"backbone.model={FAMILIES[family]}"])
    run = begin_run(recipe, None, tmp_path / "run")
    run_all(run)
    assert read_mask(run.folder.prediction(run.validation_records[0].id), run.mask_ignore_value).shape == (SIZE, SIZE)
    assert predictor.load(run.folder.path, "cpu")(np.zeros((50, 61, 3), np.uint8)).shape == (50, 61)
