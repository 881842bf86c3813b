"""Every recipe that comes with the package: complete, documented, buildable; and how settings change it."""

import json

import pytest
import torch

from tagmask.affinity_nets import AffinityNet
from tagmask.backbones import build_backbone
from tagmask.config import Recipe
from tagmask.errors import TagmaskError
from tagmask.methods import build_method
from tagmask.predictor import build_segmenter
from tagmask.recipes import load_recipe, recipe_names, recipe_text, summary

CLASSES = 3


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
    recipe = load_recipe(name, ["backbone.weights=none"])
    images = torch.zeros(1, 3, 65, 97)
    with torch.no_grad():
        activation = build_method(recipe.method, build_backbone(recipe.backbone), CLASSES)(images)
        assert activation.maps.shape[:2] == (1, CLASSES)
        assert recipe.affinity is not None
        net = AffinityNet(recipe.affinity, build_backbone(recipe.backbone))
        stride = recipe.affinity.stride
        assert net.neighbourhood(images).affinities.shape == (1, len(net.offsets), -(-65 // stride), -(-97 // stride))
        assert build_segmenter(recipe, CLASSES, load_initial=True)(images).shape[:2] == (1, CLASSES + 1)


@pytest.mark.slow
def test_the_published_recipe_has_the_published_networks():
    recipe = load_recipe("voc-psa", ["backbone.weights=none"])
    with torch.device("meta"):
        method = build_method(recipe.method, build_backbone(recipe.backbone), 20)
        assert recipe.affinity is not None
        net = AffinityNet(recipe.affinity, build_backbone(recipe.backbone))
        segmenter = build_segmenter(recipe, 20, load_initial=True)
    assert sum(p.numel() for p in method.parameters()) == 105_152_832
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 105_615_360
    assert segmenter.head is not None
    assert (recipe.training.momentum, recipe.walk.steps, recipe.walk.beta) == (5e-4, 256, 8)


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
