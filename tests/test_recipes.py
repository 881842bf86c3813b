"""Every recipe that comes with the package: complete, documented, buildable; and how settings change it."""

import json

import pytest
import torch

from tagmask.affinity_nets import AffinityNet, build_affinity_net
from tagmask.backbones import build_backbone
from tagmask.config import CRF_PRESETS, AffinityNetConfig, IrnConfig, LearntLabels, Recipe, SipeConfig
from tagmask.engine import optimizer_groups
from tagmask.errors import TagmaskError
from tagmask.methods import build_method
from tagmask.predictor import build_segmenter
from tagmask.recipes import load_recipe, recipe_names, recipe_text, summary

CLASSES = 3


def without_weights(name: str) -> Recipe:
    """A recipe whose networks start from random numbers."""
    recipe = load_recipe(name, ["backbone.weights=none"])
    own = recipe.segmenter.backbone is not None
    return load_recipe(name, ["backbone.weights=none", *["segmenter.backbone.weights=none"] * own])


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_what_it_is_and_how_it_is_run(name):
    comments = [line for line in recipe_text(name).splitlines() if line.startswith("#")]
    assert len(summary(name)) > 20
    assert any(f"tagmask run {name}" in line for line in comments)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_json(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


@pytest.mark.parametrize("name", sorted(set(recipe_names()) - {"voc-psa"}))
def test_the_networks_of_a_recipe_fit_together(name):
    recipe = without_weights(name)
    images = torch.zeros(1, 3, 65, 97)
    with torch.no_grad():
        method = build_method(recipe.method, build_backbone(recipe.backbone), CLASSES)
        activation = method.finish(method(images), torch.ones(1, CLASSES))
        assert activation.maps.shape[:2] == (1, CLASSES)
        assert (activation.background is None) == (recipe.method.kind == "cam")
        with torch.device("meta"):  # shapes alone: some of these networks are large
            segmenter = build_segmenter(recipe, CLASSES, load_initial=True)
        assert segmenter(images.to("meta")).shape[:2] == (1, CLASSES + 1)
        if recipe.affinity is None:
            return
        net = build_affinity_net(recipe.affinity, build_backbone(recipe.affinity.backbone or recipe.backbone))
        stride = recipe.affinity.stride
        assert net.neighbourhood(images).affinities.shape == (1, len(net.offsets), -(-65 // stride), -(-97 // stride))


@pytest.mark.parametrize("name", recipe_names())
def test_labels_from_a_learnt_background_have_a_method_that_learns_one(name):
    recipe = load_recipe(name)
    labels = [recipe.masks.confident, None if recipe.affinity is None else recipe.affinity.labels]
    learnt = any(isinstance(each, LearntLabels) for each in labels)
    assert not learnt or isinstance(recipe.method, SipeConfig)


@pytest.mark.slow
def test_the_published_recipe_has_the_published_networks():
    recipe = load_recipe("voc-psa", ["backbone.weights=none"])
    with torch.device("meta"):
        method = build_method(recipe.method, build_backbone(recipe.backbone), 20)
        assert isinstance(recipe.affinity, AffinityNetConfig)
        net = AffinityNet(recipe.affinity, build_backbone(recipe.backbone))
        segmenter = build_segmenter(recipe, 20, load_initial=True)
    assert sum(p.numel() for p in method.parameters()) == 105_152_832
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 105_615_360
    assert segmenter.head is not None
    assert (recipe.training.momentum, recipe.walk.steps, recipe.walk.beta) == (5e-4, 256, 8)


def learning(modules, recipe):
    """(rate, weight decay) of each learning parameter by its name in the module."""
    groups = optimizer_groups(modules.parameter_groups(), recipe)
    names = {id(parameter): name for name, parameter in modules.named_parameters()}
    return {names[id(p)]: (round(g["lr"], 9), g["weight_decay"]) for g in groups for p in g["params"]}


@pytest.mark.parametrize("name", ["voc-sipe", "coco-sipe"])
def test_sipe_learns_as_published(name):
    recipe = without_weights(name)
    with torch.device("meta"):
        method = build_method(recipe.method, build_backbone(recipe.backbone), 20)
    assert [(level.channels, level.stride) for level in method.backbone.levels[1:]] == [
        (256, 4), (512, 8), (1024, 16), (2048, 16)
    ]  # fmt: skip
    rates = learning(method, recipe.training)
    old = {name: value for name, value in rates.items() if name.startswith("backbone.")}
    assert set(old.values()) == {(0.1, 1e-4)}
    assert all(name.startswith(("backbone.model.layer3.", "backbone.model.layer4.")) for name in old)
    assert sum(".bn" in name for name in old) == 54  # affine parts; those of the two shortcuts have other names
    new = rates.keys() - old.keys()
    assert new == {"classifier.weight", *(f"sides.{side}.weight" for side in range(4))}
    assert {rates[name] for name in new} == {(1.0, 1e-4)}
    assert (recipe.training.batch_size, recipe.training.momentum, recipe.training.clip_norm) == (16, 1e-4, 1.0)
    assert (recipe.training.augment.crop, recipe.training.augment.long_side) == (512, (320, 640))
    assert recipe.training.augment.jitter is None
    assert recipe.method == SipeConfig(published=True)
    assert recipe.masks.crf is None


@pytest.mark.parametrize("name", ["voc-sipe", "coco-sipe"])
def test_sipe_trains_five_epochs_of_whole_batches(name):
    num_images = {"voc-sipe": 10_582, "coco-sipe": 82_081}[name]
    assert load_recipe(name).training.steps == 5 * (num_images // 16)


def test_irn_learns_as_published():
    recipe = without_weights("voc-sipe")
    config = recipe.affinity
    assert isinstance(config, IrnConfig)
    with torch.device("meta"):
        net = build_affinity_net(config, build_backbone(recipe.backbone))
    rates = learning(net, config.training)
    assert not any(name.startswith("backbone.") for name in rates)
    assert set(rates.values()) == {(0.1, 1e-4), (1.0, 1e-4)}
    slow = [name for name, (rate, _) in rates.items() if rate == 0.1]
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters() if name in rates}
    assert sum(sizes[name] for name in slow) == 125_409
    assert sum(sizes.values()) - sum(sizes[name] for name in slow) == 1_269_120
    assert config.training.steps == 3 * (10_582 // 32)
    assert config.labels == LearntLabels(weak=0.5, crf=CRF_PRESETS["irn"])
    assert (recipe.walk.beta, recipe.walk.steps, recipe.walk.map_power) == (10, 256, 1.5)
    assert len(net.offsets) == 34


def test_sipe_on_coco_takes_confident_labels_for_masks():
    recipe = load_recipe("coco-sipe")
    assert recipe.affinity is None
    assert recipe.masks.confident == LearntLabels(weak=0.5, crf=CRF_PRESETS["irn"])


def test_settings_reach_any_depth_and_leave_the_rest():
    recipe = load_recipe("toy", ["training.augment.crop=64", "masks.crf=deeplab", "seed=3"])
    assert recipe.training.augment.crop == 64
    assert recipe.masks.crf is not None
    assert recipe.masks.crf.bilateral_srgb == 3
    assert recipe.seed == 3
    assert recipe.walk == load_recipe("toy").walk


def test_a_recipe_of_ones_own(tmp_path):
    (tmp_path / "mine.yaml").write_text(recipe_text("toy").replace("name: toy", "name: mine"))
    assert load_recipe(str(tmp_path / "mine.yaml")).name == "mine"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("- 1\n- 2\n", "expected keys and values"),
        ("a: [1\n", "not valid YAML"),
        ("name: x\n", "required, but not given"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, content, expected):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(TagmaskError, match=expected):
        load_recipe(str(tmp_path / "mine.yaml"))


def test_both_lengths_of_a_training_are_refused():
    with pytest.raises(TagmaskError, match="exactly one of `epochs` and `steps`"):
        load_recipe("toy", ["training.epochs=3"])
