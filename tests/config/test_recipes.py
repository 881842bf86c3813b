"""Every recipe that comes with the package: complete, documented, buildable; and how settings change it."""

import json

import pytest
import torch

from tagmask.affinity import build_affinity_net
from tagmask.affinity.networks import AffinityNet
from tagmask.config import (
    CRF_PRESETS,
    AffinityNetConfig,
    BackgroundConfig,
    CrfConfig,
    EpsConfig,
    EquivarianceConfig,
    IrnConfig,
    LearntLabels,
    PowerLabels,
    PpcConfig,
    Recipe,
    SeamConfig,
    SipeConfig,
)
from tagmask.config.recipes import load_recipe, recipe_names, recipe_text, summary
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import build_segmenter
from tagmask.methods import build_method
from tagmask.networks.backbones import build_backbone
from tagmask.training.engine import optimizer_groups

CLASSES = 3


WIDE = [name for name in recipe_names() if load_recipe(name).backbone.kind == "resnet38d"]  # too large to compute with
SMALL = sorted(set(recipe_names()) - set(WIDE))


def innermost(recipe: Recipe) -> str:
    """The kind of the method that makes the maps."""
    return recipe.method.base.kind if isinstance(recipe.method, PpcConfig) else recipe.method.kind


def learns_background(recipe: Recipe) -> bool:
    method = recipe.method.base if isinstance(recipe.method, PpcConfig) else recipe.method
    return isinstance(method, SipeConfig) or (isinstance(method, EpsConfig) and method.background == "learnt")


def without_weights(name: str) -> Recipe:
    """A recipe whose networks start from random numbers."""
    recipe = load_recipe(name, ["backbone.weights=none"])
    own = recipe.segmenter.backbone is not None
    return load_recipe(name, ["backbone.weights=none", *["segmenter.backbone.weights=none"] * own])


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_what_it_is_and_how_it_is_run(name):
    comments = [line for line in recipe_text(name).splitlines() if line.startswith("#")]
    assert len(summary(name)) > 20
    assert any(f"tagmask run {name} " in line for line in comments)


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith(("voc-", "coco-"))])
def test_a_published_recipe_says_what_is_expected_needed_and_different(name):
    text = "\n".join(line for line in recipe_text(name).splitlines() if line.startswith("#"))
    for head in ("Expect:", "Cost:", "Data:", "Run:", "Notes:"):
        assert f"\n# {head}" in text
    expected = text.split("# Expect:")[1].split("# Cost:")[0]
    assert "not measured by us yet" in expected
    assert "The paper's:" in expected or "The authors':" in expected  # whose numbers they are


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_json(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe


@pytest.mark.parametrize("name", SMALL)
def test_the_networks_of_a_recipe_fit_together(name):
    recipe = without_weights(name)
    images = torch.rand(1, 3, 65, 97)
    with torch.no_grad():
        method = build_method(recipe.method, build_backbone(recipe.backbone), CLASSES)
        activation = method.finish(method(images), torch.ones(1, CLASSES))
        assert activation.maps.shape[:2] == (1, CLASSES)
        assert (activation.background is not None) == learns_background(recipe)
        with torch.device("meta"):  # shapes alone: some of these networks are large
            segmenter = build_segmenter(recipe.segmenter, recipe.backbone, CLASSES, load_initial=True)
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
    assert not learnt or learns_background(recipe)


@pytest.mark.parametrize("name", recipe_names())
def test_saliency_is_named_where_it_is_learned_from_and_only_there(name):
    recipe = load_recipe(name)
    assert recipe.method.learns_from_saliency == (innermost(recipe) == "eps")
    assert (recipe.data.saliency is not None) == recipe.method.learns_from_saliency


@pytest.mark.parametrize("name", [name for name in recipe_names() if name != "folder-cpu"])
def test_the_name_tells_the_method(name):
    recipe = load_recipe(name)
    assert ("ppc" in name.split("-")) == isinstance(recipe.method, PpcConfig)
    for kind in ("seam", "eps", "sipe"):
        assert (kind in name.split("-")) == (innermost(recipe) == kind)


def test_the_recipe_for_own_photographs_has_the_best_method():
    recipe = load_recipe("folder-cpu")
    assert isinstance(recipe.method, PpcConfig)
    assert recipe.method.base == load_recipe("folder-cpu-seam").method


@pytest.mark.slow
def test_the_published_recipe_has_the_published_networks():
    recipe = load_recipe("voc-psa", ["backbone.weights=none"])
    with torch.device("meta"):
        method = build_method(recipe.method, build_backbone(recipe.backbone), 20)
        assert isinstance(recipe.affinity, AffinityNetConfig)
        net = AffinityNet(recipe.affinity, build_backbone(recipe.backbone))
        segmenter = build_segmenter(recipe.segmenter, recipe.backbone, 20, load_initial=True)
    assert sum(p.numel() for p in method.parameters()) == 105_152_832
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 105_615_360
    assert segmenter.head is not None
    assert (recipe.training.momentum, recipe.walk.steps, recipe.walk.beta) == (5e-4, 256, 8)


@pytest.mark.parametrize("name", WIDE)
def test_the_networks_of_a_recipe_with_a_wide_backbone_fit_together(name):
    recipe = without_weights(name)
    images = torch.empty(2, 3, 65, 97, device="meta")
    with torch.device("meta"), torch.no_grad():  # shapes alone
        method = build_method(recipe.method, build_backbone(recipe.backbone), CLASSES)
        shapes = [[grid.shape for grid in method.backbone.forward_levels(view)] for view in method.views(images)]
        segmenter = build_segmenter(recipe.segmenter, recipe.backbone, CLASSES, load_initial=True)
        assert segmenter(images).shape[:2] == (2, CLASSES + 1)
        if recipe.affinity is not None:
            net = build_affinity_net(recipe.affinity, build_backbone(recipe.affinity.backbone or recipe.backbone))
            assert net.stride == recipe.affinity.stride
    assert shapes[0][-3:] == [(2, channels, 9, 13) for channels in (512, 1024, 4096)]
    assert len(shapes) == method.num_views
    seam, ppc = "seam" in name, isinstance(recipe.method, PpcConfig)
    assert [shape[-1][2:] for shape in shapes[1:]] == ([(16, 16)] if ppc else [(3, 4)] if seam else [])


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


# ── SEAM, EPS and PPC as published ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for name in WIDE if name != "voc-psa"])
def test_wide_resnet_38_learns_as_seam_eps_and_ppc_publish(name):
    recipe = without_weights(name)
    with torch.device("meta"):
        method = build_method(recipe.method, build_backbone(recipe.backbone), 20)
    rates = learning(method, recipe.training)
    old = {parameter: value for parameter, value in rates.items() if ".backbone." in f".{parameter}"}
    assert set(old.values()) == {(0.01, 5e-4)}
    assert not any(f".{stage}" in parameter for parameter in old for stage in ("conv1a.", "b2.", "b2_", "bn"))
    new = {parameter.removeprefix("base.") for parameter in rates.keys() - old.keys()}
    correlated = {f"correlation.{layer}.weight" for layer in ("f8_3", "f8_4", "f9")}
    seam_like = "seam" in name or name == "voc-eps-ppc"
    assert new == {"fc8.weight"} | (correlated if seam_like else set()) | (
        {"fc_proj.weight"} if "ppc" in name else set()
    )
    assert {rates[parameter] for parameter in rates.keys() - old.keys()} == {(0.1, 5e-4)}
    assert (recipe.training.momentum, recipe.training.power, recipe.training.bias_factor) == (5e-4, 0.9, 2)
    assert recipe.training.augment.jitter == (0.3, 0.3, 0.3, 0.1)
    assert sorted(recipe.maps.scales) == [0.5, 1, 1.5, 2]


@pytest.mark.parametrize(
    ("name", "steps", "batch", "long_side", "crop"),
    [
        ("voc-seam", 8 * (10_582 // 8), 8, (448, 768), 448),
        ("voc-seam-ppc", 8 * (10_582 // 8), 8, (448, 768), 448),
        ("voc-eps", 20_000, 8, (256, 512), 448),
        ("voc-eps-ppc", 15 * (10_582 // 8), 8, (448, 768), 448),
        ("coco-eps", 15 * (82_081 // 16), 16, (256, 448), 321),
    ],
)
def test_steps_and_crops_are_the_published_ones(name, steps, batch, long_side, crop):
    training = load_recipe(name).training
    assert (training.steps, training.batch_size) == (steps, batch)
    assert (training.augment.long_side, training.augment.crop) == (long_side, crop)


def test_seam_is_as_published():
    recipe = without_weights("voc-seam")
    assert recipe.method == SeamConfig(equivariance=EquivarianceConfig(view_scale=0.3))
    with torch.device("meta"):
        method = build_method(recipe.method, build_backbone(recipe.backbone), 20)
    assert sum(p.numel() for p in method.parameters()) == 105_358_208
    assert isinstance(recipe.affinity, AffinityNetConfig)
    assert recipe.affinity.labels == PowerLabels(low=4, high=24)
    assert (recipe.walk.beta, recipe.walk.steps, recipe.walk.border) == (8, 64, "interior")
    assert recipe.masks.background == BackgroundConfig(rule="power", value=6)
    assert recipe.masks.crf is None


def test_ppc_on_seam_is_as_published():
    recipe, seam = load_recipe("voc-seam-ppc"), load_recipe("voc-seam")
    base = SeamConfig(equivariance=EquivarianceConfig(view_size=128))
    assert recipe.method == PpcConfig(base=base, faithful=True)
    assert isinstance(recipe.method, PpcConfig)
    assert recipe.method.prototype_fraction * 16 * 16 == 32
    assert recipe.training == seam.training
    assert recipe.affinity is not None
    assert recipe.affinity.labels == PowerLabels(low=4, high=24, crf=CrfConfig(unary="hard", num_labels=21))
    assert recipe.masks.background == BackgroundConfig(
        rule="threshold", value=0.27, when="after_walk", walked_maps="unchanged"
    )


def test_eps_is_as_published():
    voc, coco = load_recipe("voc-eps"), load_recipe("coco-eps")
    assert voc.method == EpsConfig(background="ignored")
    assert coco.method == EpsConfig(background="ignored", absent_share=0.1)
    for recipe in (voc, coco):
        assert recipe.affinity is None
        assert recipe.masks.background == BackgroundConfig(rule="threshold", value=0.2)
        assert recipe.masks.crf is None


def test_ppc_on_eps_is_as_published():
    recipe = load_recipe("voc-eps-ppc")
    method = recipe.method
    assert isinstance(method, PpcConfig)
    assert isinstance(method.base, EpsConfig)
    assert method.faithful
    assert (method.background, method.prototype_fraction * 16 * 16) == (0.1, 16)
    assert method.base.equivariance == EquivarianceConfig(view_size=128)
    assert method.base.refined_saliency
    assert method.base.background_last
    assert recipe.masks.background == BackgroundConfig(rule="power", value=8)
    assert recipe.masks.crf == CrfConfig(iterations=5)
    assert recipe.affinity is None


# ── any recipe with PPC ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for name in recipe_names() if load_recipe(name).method.kind != "ppc"])
def test_any_recipe_takes_ppc_on_top(name):
    plain, wrapped = load_recipe(name), load_recipe(f"{name}+ppc")
    assert wrapped.method == PpcConfig.model_validate({"base": plain.method, "warmup_steps": 100})
    assert wrapped == plain.model_copy(update={"name": f"{name}+ppc", "method": wrapped.method})


def test_settings_reach_the_contrast_and_what_is_in_it():
    recipe = load_recipe("toy+ppc", ["method.temperature=0.5", "method.base.dropout=0.1"])
    assert isinstance(recipe.method, PpcConfig)
    assert recipe.method.temperature == 0.5
    assert recipe.method.base.dropout == 0.1


def test_ppc_goes_around_a_file_too(tmp_path):
    (tmp_path / "mine.yaml").write_text(recipe_text("toy").replace("name: toy", "name: mine"))
    recipe = load_recipe(f"{tmp_path / 'mine.yaml'}+ppc")
    assert (recipe.name, recipe.method.kind) == ("mine+ppc", "ppc")


def test_ppc_does_not_go_around_ppc():
    with pytest.raises(TagmaskError, match=r"'toy-ppc' has PPC already; leave out \+ppc"):
        load_recipe("toy-ppc+ppc")
    with pytest.raises(TagmaskError, match=r"method\.base: "):
        load_recipe("toy", ["method={kind: ppc, base: {kind: ppc}}"])


def test_an_unknown_recipe_with_ppc_is_explained():
    with pytest.raises(TagmaskError, match="Did you mean 'toy'"):
        load_recipe("toyy+ppc")


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    with pytest.raises(
        TagmaskError, match=r"training: epochs=3.0 and steps=200 are given; set exactly one of them"
    ) as e:
        load_recipe("toy", ["training.epochs=3"])
    assert "batch_size" not in str(e.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("method.droput=0", "  method.droput: unknown key; did you mean 'dropout'?"),
        ("method.view_scale=0.5", "  method.view_scale: unknown key; known here: kind, dropout, map_root"),
        ("training.jitter=null", "  training.jitter: unknown key; known here: epochs, steps"),
        ("affinity.kind=irn", '--set "affinity={kind: ..., ...}"'),
    ],
)
def test_an_unknown_key_is_told_by_the_name_it_was_written_with(setting, message):
    with pytest.raises(TagmaskError) as error:
        load_recipe("toy", [setting])
    assert message in str(error.value)


def test_keys_inside_a_method_inside_ppc_are_told_as_written():
    with pytest.raises(TagmaskError, match=r"  method\.base\.equivariance\.view_scal: .*'view_scale'"):
        load_recipe("folder-cpu", ["method.base.equivariance.view_scal=0.3"])


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [
        ("folder-cpu", "affinity.labels={kind: learnt}"),
        ("folder-cpu-eps", "affinity.labels={kind: learnt}"),
        ("folder-cpu-sipe", "method.maps=general"),
        ("toy", "masks.confident={kind: learnt}"),
    ],
)
def test_learnt_labels_need_a_method_that_learns_a_background(recipe, setting):
    with pytest.raises(TagmaskError, match="of kind `learnt` need a background in the maps"):
        load_recipe(recipe, [setting])


def test_a_missing_recipe_file_is_called_a_file():
    with pytest.raises(TagmaskError, match=r"there is no file mine\.yaml"):
        load_recipe("mine.yaml")
