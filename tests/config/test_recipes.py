"""Every recipe that comes with the package: complete, documented, buildable; and how settings change it."""

import json

import pytest
import torch
from torch import nn

from tagmask.affinity import build_affinity_net
from tagmask.config import PpcConfig, Recipe
from tagmask.config.recipes import changed_recipe, changes_of, load_recipe, recipe_names, recipe_text, summary
from tagmask.contracts import Batch
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import build_segmenter
from tagmask.methods import build_method
from tagmask.networks.backbones import build_backbone

CLASSES = 3
WIDE = [name for name in recipe_names() if load_recipe(name).backbone.kind == "resnet38d"]  # too large to compute with
SMALL = sorted(set(recipe_names()) - set(WIDE))


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
        assert (activation.background is not None) == recipe.method.learns_background
        with torch.device("meta"):  # shapes alone: some of these networks are large
            segmenter = build_segmenter(recipe.segmenter, recipe.backbone, CLASSES, load_initial=True)
        assert segmenter(images.to("meta")).shape[:2] == (1, CLASSES + 1)
        if recipe.affinity is None:
            return
        net = build_affinity_net(recipe.affinity, build_backbone(recipe.affinity.backbone or recipe.backbone))
        stride = recipe.affinity.stride
        assert net.neighbourhood(images).affinities.shape == (1, len(net.offsets), -(-65 // stride), -(-97 // stride))


@pytest.mark.parametrize("name", recipe_names())
def test_saliency_is_named_where_it_is_learned_from_and_only_there(name):
    recipe = load_recipe(name)
    assert recipe.method.learns_from_saliency == (recipe.method.innermost.kind == "eps")
    assert (recipe.data.saliency is not None) == recipe.method.learns_from_saliency


@pytest.mark.parametrize("name", [name for name in recipe_names() if name != "folder-cpu"])
def test_the_name_tells_the_method(name):
    recipe = load_recipe(name)
    assert ("ppc" in name.split("-")) == isinstance(recipe.method, PpcConfig)
    for kind in ("seam", "eps", "sipe"):
        assert (kind in name.split("-")) == (recipe.method.innermost.kind == kind)


def test_the_recipe_for_own_photographs_has_the_best_method():
    recipe = load_recipe("folder-cpu")
    assert isinstance(recipe.method, PpcConfig)
    assert recipe.method.base == load_recipe("folder-cpu-seam").method


def parameters(network: nn.Module, learning_only: bool = False) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not learning_only)


@pytest.mark.parametrize(("name", "expected"), [("voc-psa", 105_152_832), ("voc-seam", 105_358_208)])
def test_classifiers_have_as_many_parameters_as_the_published_ones(name, expected):
    recipe = without_weights(name)
    with torch.device("meta"):
        method = build_method(recipe.method, build_backbone(recipe.backbone), 20)
    assert parameters(method) == expected


def test_affinitynet_learns_as_many_parameters_as_the_published_one():
    recipe = without_weights("voc-psa")
    with torch.device("meta"):
        net = build_affinity_net(recipe.affinity, build_backbone(recipe.backbone))
    assert parameters(net, learning_only=True) == 105_615_360


def test_irn_learns_two_heads_of_the_published_sizes_and_no_backbone():
    recipe = without_weights("voc-sipe")
    with torch.device("meta"):
        net = build_affinity_net(recipe.affinity, build_backbone(recipe.backbone))
    assert parameters(net.backbone, learning_only=True) == 0
    factors = {group.rate_factor for group in net.parameter_groups()}
    sizes = [
        sum(p.numel() for group in net.parameter_groups() if group.rate_factor == factor for p in group.parameters)
        for factor in sorted(factors)
    ]
    assert sizes == [125_409, 1_269_120]  # boundaries, then displacements, which learn faster
    assert len(net.offsets) == 34


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


def learning(name: str) -> tuple[set[str], set[str]]:
    """Names of the parameters of a recipe's method that learn from existing weights, and of those that are new."""
    recipe = without_weights(name)
    with torch.device("meta"):
        method = build_method(recipe.method, build_backbone(recipe.backbone), 20)
    names = {id(parameter): name.removeprefix("base.") for name, parameter in method.named_parameters()}
    groups = method.parameter_groups()
    old, new = ({names[id(p)] for g in groups if g.new == is_new for p in g.parameters} for is_new in (False, True))
    return old, new


@pytest.mark.parametrize("name", ["voc-sipe", "coco-sipe"])
def test_sipe_learns_its_heads_and_the_last_two_stages_with_their_affine_parts(name):
    old, new = learning(name)
    assert all(name.startswith(("backbone.model.layer3.", "backbone.model.layer4.")) for name in old)
    assert sum(".bn" in name for name in old) == 54  # affine parts; those of the two shortcuts have other names
    assert new == {"classifier.weight", *(f"sides.{side}.weight" for side in range(4))}


@pytest.mark.parametrize("name", ["voc-sipe", "coco-sipe"])
def test_side_branches_of_sipe_sit_on_the_four_stages_at_the_published_strides(name):
    with torch.device("meta"):
        backbone = build_backbone(without_weights(name).backbone)
    levels = [(level.channels, level.stride) for level in backbone.levels[-4:]]
    assert levels == [(256, 4), (512, 8), (1024, 16), (2048, 16)]


@pytest.mark.parametrize("name", [name for name in WIDE if name != "voc-psa"])
def test_wide_resnet_38_learns_from_its_third_stage_on_without_normalisation(name):
    old, new = learning(name)
    assert not any(f".{stage}" in parameter for parameter in old for stage in ("conv1a.", "b2.", "b2_", "bn"))
    assert any(".b3." in parameter for parameter in old)
    correlated = {f"correlation.{layer}.weight" for layer in ("f8_3", "f8_4", "f9")}
    seam_like = "seam" in name or name == "voc-eps-ppc"
    contrasted = {"fc_proj.weight"} if "ppc" in name else set()
    assert new == {"fc8.weight"} | (correlated if seam_like else set()) | contrasted


@pytest.mark.parametrize("name", ["voc-psa", "voc-seam", "voc-seam-ppc", "voc-eps-ppc"])
def test_all_convolutions_of_the_published_segmenter_learn_and_of_normalisation_the_statistics(name):
    recipe = without_weights(name)
    with torch.device("meta"):
        segmenter = build_segmenter(recipe.segmenter, recipe.backbone, 20, load_initial=True).train()
    for layer in segmenter.modules():
        learns = [parameter.requires_grad for parameter in layer.parameters(recurse=False)]
        assert all(learns) if isinstance(layer, nn.Conv2d) else not any(learns)
    norms = [layer for layer in segmenter.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert not any(layer._forward_pre_hooks for layer in norms)  # nothing keeps their statistics
    deep = {layer.momentum for layer in segmenter.backbone.modules() if isinstance(layer, nn.BatchNorm2d)}
    assert deep == ({0.1} if name == "voc-eps-ppc" else {0.0003})
    assert {layer.momentum for layer in segmenter.head.modules() if isinstance(layer, nn.BatchNorm2d)} == {0.0003}


@pytest.mark.parametrize("name", ["voc-eps", "voc-sipe", "coco-eps", "coco-sipe"])
def test_the_published_deeplab_v2_has_logits_at_three_scales_and_their_maximum(name):
    recipe = without_weights(name)
    crop = recipe.segmenter.training.augment.crop
    with torch.device("meta"), torch.no_grad():
        segmenter = build_segmenter(recipe.segmenter, recipe.backbone, CLASSES, load_initial=True)
        images, tags, valid = torch.empty(2, 3, crop, crop), torch.empty(2, CLASSES), torch.empty(2, crop, crop).bool()
        grids = segmenter.outputs(Batch(("a", "b"), images, tags, valid))
    assert [grid.shape[2] for grid in grids] == [41, 30, 20, 41]  # 321, 240 and 160 pixels at stride 8
    assert recipe.segmenter.scales == (1.0,)  # the others are inside


VOC, COCO = 10_582, 82_081  # training images


@pytest.mark.parametrize(
    ("name", "epochs", "images"),
    [
        ("voc-seam", 8, VOC),
        ("voc-seam-ppc", 8, VOC),
        ("voc-eps-ppc", 15, VOC),
        ("coco-eps", 15, COCO),
        ("voc-sipe", 5, VOC),
        ("coco-sipe", 5, COCO),
    ],
)
def test_steps_are_the_whole_batches_of_the_published_epochs(name, epochs, images):
    training = load_recipe(name).training
    assert training.steps == epochs * (images // training.batch_size)


def test_steps_of_irn_are_the_whole_batches_of_three_epochs():
    training = load_recipe("voc-sipe").affinity.training
    assert training.steps == 3 * (VOC // training.batch_size)


@pytest.mark.parametrize(("name", "pixels"), [("voc-seam-ppc", 32), ("voc-eps-ppc", 16)])
def test_prototypes_are_made_of_as_many_pixels_as_published(name, pixels):
    method = load_recipe(name).method
    grid = method.base.equivariance.view_size // 8
    assert method.prototype_fraction * grid**2 == pixels


def test_ppc_on_seam_is_trained_as_seam_is():
    assert load_recipe("voc-seam-ppc").training == load_recipe("voc-seam").training


# ── any recipe with PPC ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for name in recipe_names() if load_recipe(name).method.kind != "ppc"])
def test_any_recipe_takes_ppc_on_top(name):
    plain, wrapped = load_recipe(name), load_recipe(f"{name}+ppc")
    assert wrapped.method == PpcConfig.model_validate({"base": plain.method, "warmup_share": 0.25})
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


def test_settings_that_contradict_each_other_are_told_by_their_block_and_nothing_else_is():
    with pytest.raises(TagmaskError, match=r"^recipe toy has 1 setting.*\n  training: epochs=3.0 and steps=200") as e:
        load_recipe("toy", ["training.epochs=3", "training.steps=200"])
    assert "batch_size" not in str(e.value)


@pytest.mark.parametrize(
    ("setting", "epochs", "steps"), [("training.epochs=3", 3, None), ("training.steps=7", None, 7)]
)
def test_steps_take_the_place_of_epochs_and_epochs_of_steps(setting, epochs, steps):
    for before in ("toy", "folder-cpu"):
        found = load_recipe(before, [setting]).training
        assert (found.epochs, found.steps) == (epochs, steps)
    assert load_recipe("toy", ["affinity=null", "training.epochs=2"]).training.steps is None


def test_a_length_may_be_set_before_the_block_that_replaces_it():
    with pytest.raises(TagmaskError, match=r"affinity\.training: required"):
        load_recipe("toy", ["affinity.training.steps=7", "affinity={kind: irn}"])
    block = "affinity={kind: irn, training: {steps: 3, batch_size: 2, rate: 0.1, augment: {crop: 48}}}"
    assert load_recipe("toy", ["affinity.training.steps=7", block]).affinity.training.steps == 3


def test_taking_the_background_away_takes_its_factor_away_unless_it_is_set_too():
    assert load_recipe("folder-cpu").masks.background.factor == "outlines"
    without = load_recipe("folder-cpu", ["masks.background.rule=none"])
    assert (without.masks.background.rule, without.masks.background.factor) == ("none", 1)
    assert load_recipe("folder-cpu", ["masks.background.rule=threshold"]).masks.background.factor == "outlines"
    assert load_recipe("folder-cpu", changes_of(without)) == without
    for by_hand in ("masks.background.factor=outlines", "masks.background={factor: 2}"):
        with pytest.raises(TagmaskError, match=r"factor is .* no background .* leave out the factor"):
            load_recipe("folder-cpu", [by_hand, "masks.background.rule=none"])
    with pytest.raises(TagmaskError, match="masks: "):
        load_recipe("folder-cpu", ["masks.background.rule=none", "masks=null"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("method.droput=0", "  method.droput: unknown key; did you mean 'dropout'?"),
        ("method.view_scale=0.5", "  method.view_scale: unknown key; known here: kind, dropout, map_root"),
        (
            "walk.steps=-3",
            "  walk.steps: Input should be greater than or equal to 0 (got -3); or: Input should be a block of below",
        ),
        ("walk.steps={bellow: 3}", "  walk.steps.bellow: unknown key; did you mean 'below'?"),
        ("walk.steps={few: -2}", "do not fit:\n  walk.steps.few: Input should be greater than or equal to 0 (got -2)"),
        ("maps.scales=[1, a]", "  maps.scales.1: Input should be a valid number"),
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


def test_a_missing_recipe_file_is_called_a_file():
    with pytest.raises(TagmaskError, match=r"there is no file mine\.yaml"):
        load_recipe("mine.yaml")


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["training.rate=0.01", "data.masks=my masks"],
        ["method={kind: sipe}", "affinity=null"],
        ["maps.scales=[1.0, 2.0]", "segmenter.crf=deeplab"],
    ],
)
@pytest.mark.parametrize("name", ["folder-cpu", "toy-sipe+ppc"])
def test_the_changes_of_a_recipe_make_it_again(name, settings):
    settings = [each for each in settings if "masks=" not in each or name == "folder-cpu"]
    settings = [each for each in settings if "method=" not in each or "ppc" not in name]
    recipe = load_recipe(name, settings)
    changes = changes_of(recipe)
    assert load_recipe(name, changes) == recipe
    assert len(changes) <= 2 * len(settings) + 3


def test_a_recipe_of_ones_own_has_no_changes_to_tell(tmp_path):
    (tmp_path / "mine.yaml").write_text(recipe_text("toy").replace("name: toy", "name: mine"))
    assert changes_of(load_recipe(str(tmp_path / "mine.yaml"))) is None


# ── for all stages at once ───────────────────────────────────────────────────────────────────────────────────────────


def test_how_a_run_is_carried_out_can_be_said_for_all_stages_at_once():
    recipe = load_recipe("folder-cpu", ["workers=0", "instances={}", "segmenter.training.workers=3"])
    assert recipe.training.workers == recipe.maps.workers == recipe.masks.workers == recipe.segmenter.workers == 0
    assert recipe.affinity.training.workers == recipe.instances.workers == 0
    assert recipe.segmenter.training.workers == 3  # what is named more closely wins
    assert changed_recipe(recipe, ["checkpoint_every=7"]).affinity.training.checkpoint_every == 7


def test_what_is_learned_cannot_be_said_for_all_stages_at_once():
    with pytest.raises(TagmaskError, match="rate: unknown key"):
        load_recipe("folder-cpu", ["rate=0.5"])
    with pytest.raises(TagmaskError, match=r"training\.workers: .*greater than or equal to 0"):
        load_recipe("folder-cpu", ["workers=-1"])
