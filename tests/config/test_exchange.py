"""A recipe whose backbone another model takes the place of."""

import pytest

from tagmask.config import PpcConfig, Resnet38dBackbone, TimmBackbone
from tagmask.config.exchange import with_exchanged_models
from tagmask.config.recipes import changed_recipe, changes_of, load_recipe, recipe_names
from tagmask.errors import TagmaskError

MODEL = "backbone.model=convnext_tiny"
NAMING_LEVELS = ["folder", "folder-cpu-cam", "folder-cpu-ppc"]


@pytest.mark.parametrize("name", recipe_names())
def test_one_setting_exchanges_the_backbone_of_any_recipe(name):
    before, after = load_recipe(name), load_recipe(name, [MODEL])
    backbone = after.backbone
    assert isinstance(backbone, TimmBackbone)
    assert (backbone.model, backbone.own_stride) == ("convnext_tiny", True)
    assert backbone.output_stride == getattr(before.backbone, "output_stride", 8)
    assert (backbone.frozen_stages, backbone.batch_norm) == (before.backbone.frozen_stages, before.backbone.batch_norm)
    assert backbone.weights == ("none" if name.startswith("toy") else "pretrained")
    assert getattr(after.affinity, "levels", None) is None
    assert after.segmenter == before.segmenter
    assert after.training == before.training


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("settings", [[MODEL], [MODEL, "backbone.output_stride=32", "backbone.weights=mine.pth"]])
def test_the_changes_of_an_exchanged_recipe_make_it_again(name, settings):
    recipe = load_recipe(name, settings)
    assert load_recipe(name, changes_of(recipe)) == recipe
    assert changed_recipe(recipe, [MODEL]) == recipe


# ── levels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMING_LEVELS)
def test_levels_of_the_old_backbone_are_left_out_and_those_that_are_set_stay(name):
    assert load_recipe(name).affinity.levels is not None
    assert load_recipe(name, [MODEL]).affinity.levels is None
    for settings in ([MODEL, "affinity.levels=[0, 1, 2]"], ["affinity.levels=[0, 1, 2]", MODEL]):
        recipe = load_recipe(name, settings)
        assert recipe.affinity.levels == (0, 1, 2)
        assert load_recipe(name, changes_of(recipe)) == recipe


def test_levels_that_are_set_as_the_recipe_had_them_stay_too():
    recipe = load_recipe("folder", [MODEL, "affinity.levels=[2, 3, 4]"])
    assert recipe.affinity.levels == (2, 3, 4)
    assert load_recipe("folder", changes_of(recipe)) == recipe


def test_levels_of_a_method_go_at_any_depth_and_stay_in_a_block_that_is_given():
    assert load_recipe("folder-cpu-sipe").method.levels == (1, 2, 3, 4)
    assert load_recipe("folder-cpu-sipe", [MODEL]).method.levels is None
    wrapped = load_recipe("folder-cpu-sipe+ppc", [MODEL]).method
    assert isinstance(wrapped, PpcConfig)
    assert wrapped.base.levels is None
    given = load_recipe("toy", [MODEL, "method={kind: seam, equivariance: {levels: [0, 1]}}"])
    assert given.method.equivariance.levels == (0, 1)


@pytest.mark.parametrize("settings", [["backbone.model=resnet50.a1_in1k"], ["backbone.frozen_stages=1"], ["seed=3"]])
def test_other_weights_of_the_same_model_are_no_exchange(settings):
    recipe = load_recipe("folder", settings)
    assert recipe.affinity.levels == (2, 3, 4)
    assert not recipe.backbone.own_stride


def test_a_backbone_given_whole_is_as_it_is_given_and_levels_are_found():
    recipe = load_recipe("folder", ["backbone={kind: timm, model: convnext_tiny, weights: none}"])
    assert recipe.backbone == TimmBackbone(model="convnext_tiny", weights="none")
    assert recipe.affinity.levels is None
    recipe = load_recipe("folder", ["backbone={kind: resnet38d, weights: none}"])
    assert recipe.backbone == Resnet38dBackbone(weights="none")
    assert recipe.affinity.levels is None


def test_an_affinity_network_with_a_backbone_of_its_own_keeps_the_levels_of_that(tmp_path):
    recipe = load_recipe("folder", ["affinity.backbone={kind: timm, model: resnet18}", "affinity.levels=[0, 1, 2]"])
    assert changed_recipe(recipe, [MODEL]).affinity.levels == (0, 1, 2)
    assert changed_recipe(recipe, ["affinity.backbone.model=resnet34"]).affinity.levels is None


# ── what else is said of a model ─────────────────────────────────────────────────────────────────────────────────────


def test_files_and_colours_of_the_old_weights_give_way_unless_they_are_set():
    old = ["backbone.weights=old.pth", "backbone.pad_type=same", "backbone.mean=[0.5, 0.5, 0.5]"]
    before = load_recipe("folder", old)
    after = changed_recipe(before, [MODEL]).backbone
    assert (after.weights, after.pad_type, after.mean) == ("pretrained", None, None)
    after = changed_recipe(before, [MODEL, "backbone.weights=new.pth", "backbone.mean=[0.1, 0.2, 0.3]"]).backbone
    assert (after.weights, after.mean) == ("new.pth", (0.1, 0.2, 0.3))


def test_a_stride_that_is_set_is_meant():
    backbone = load_recipe("toy", ["backbone.model=vit_small_patch16_224", "backbone.output_stride=8"]).backbone
    assert (backbone.output_stride, backbone.own_stride) == (8, False)
    assert not load_recipe("toy", [MODEL, "backbone.own_stride=false"]).backbone.own_stride


def test_a_second_backbone_begins_as_the_first():
    recipe = load_recipe("toy", ["segmenter.backbone.model=resnet18"])
    assert recipe.segmenter.backbone == recipe.backbone.model_copy(update={"model": "resnet18", "own_stride": True})
    assert recipe.backbone == load_recipe("toy").backbone
    both = load_recipe("voc-eps", [MODEL, "segmenter.backbone.model=resnet18"])
    assert (both.backbone.model, both.segmenter.backbone.model) == ("convnext_tiny", "resnet18")
    assert both.segmenter.backbone.batch_norm == "frozen"
    wide = load_recipe("voc-psa", ["affinity.backbone.model=resnet18"])
    assert wide.affinity.backbone.output_stride == 8
    assert isinstance(wide.backbone, Resnet38dBackbone)


def test_what_is_no_block_is_left_to_be_explained():
    for setting in ("backbone=resnet50", "affinity.backbone=resnet50", "backbone=null"):
        with pytest.raises(TagmaskError, match="do not fit"):
            load_recipe("toy", [setting])
    assert with_exchanged_models({}, {"affinity": 3, "method": 4}, []) == {"affinity": 3, "method": 4}
    assert with_exchanged_models({"backbone": 1}, {"backbone": {"model": "x"}}, ["backbone.model"]) == {
        "backbone": {"model": "x"}
    }
