import pytest
from pydantic import TypeAdapter, ValidationError

from tagmask.config import (
    WRAPPERS,
    AnyMethod,
    CamConfig,
    EpsConfig,
    EquivarianceConfig,
    PpcConfig,
    SeamConfig,
    SipeConfig,
)

ADAPTER = TypeAdapter(AnyMethod)
PLAIN = [CamConfig, SeamConfig, EpsConfig, SipeConfig]


# ── kinds ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("config", PLAIN)
def test_the_kind_tells_the_methods_apart_alone_and_inside_a_wrapper(config):
    kind = config().kind
    assert ADAPTER.validate_python({"kind": kind}) == config()
    assert ADAPTER.validate_python({"kind": "ppc", "base": {"kind": kind}}) == PpcConfig(base=config())


@pytest.mark.parametrize("config", [SeamConfig(dropout=0.25), PpcConfig(base=SipeConfig(side_factor=3), width=5)])
def test_a_method_survives_json_with_what_is_in_it(config):
    assert ADAPTER.validate_json(ADAPTER.dump_json(config)) == config


def test_a_wrapper_does_not_go_around_a_wrapper_and_needs_something_to_go_around():
    with pytest.raises(ValidationError, match="unknown kind 'ppc'; known: cam, seam, eps, sipe"):
        ADAPTER.validate_python({"kind": "ppc", "base": {"kind": "ppc", "base": {"kind": "cam"}}})
    with pytest.raises(ValidationError, match="base"):
        PpcConfig()


# ── what the pipeline asks a method ──────────────────────────────────────────────────────────────────────────────────


def test_the_label_of_a_wrapper_names_what_it_is_put_around():
    assert SeamConfig().label == "seam"
    assert PpcConfig(base=SeamConfig()).label == "ppc(seam)"


@pytest.mark.parametrize(
    ("config", "saliency", "background"),
    [
        (CamConfig(), False, False),
        (SeamConfig(), False, False),
        (EpsConfig(), True, True),
        (EpsConfig(background="ignored"), True, False),
        (SipeConfig(), False, True),
        (SipeConfig(maps="mean"), False, True),
        (SipeConfig(maps="general"), False, False),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_a_method_needs_and_learns_is_the_same_inside_a_wrapper(config, saliency, background, wrapped):
    method = PpcConfig(base=config) if wrapped else config
    assert method.learns_from_saliency == saliency
    assert method.learns_background == background
    assert method.innermost is config


def test_settings_of_a_wrapper_that_is_put_on_are_settings_it_has():
    for wrapper in WRAPPERS:
        assert wrapper.model_validate({**wrapper.put_on, "base": {"kind": "cam"}})


# ── SIPE ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changed",
    [
        {"side_initialization": "orthogonal"},
        {"side_factor": 10.0},
        {"background_factor": 0.4},
        {"background_factor": "matched"},
        {"background_factor_on": "map"},
        {"inference_seed_features": "semantic"},
        {"absent_classes_compete": False},
        {"consistency_weight": 0.5},
        {"consistency_over": "present"},
    ],
    ids=lambda changed: "-".join(map(str, *changed.items())),
)
def test_published_behaviour_is_kept_by_refusing_changes(changed):
    SipeConfig(**changed)
    with pytest.raises(ValidationError, match=f"published.*{next(iter(changed))} changes it"):
        SipeConfig(published=True, **changed)


def test_published_behaviour_leaves_what_does_not_change_it():
    SipeConfig(published=True, levels=(0, 1), widths=(8, 8), structure_memory=4, maps="general", background_factor=0.5)


def test_settings_that_nobody_sorted_are_refused_when_published():
    """A new option changes published behaviour until it is said that it does not."""
    sorted_out = {"kind", "published", "levels", "widths", "structure_memory", "maps"}
    for name, field in SipeConfig.model_fields.items():
        if name in sorted_out:
            continue
        other = {float: 0.123, bool: not field.default}.get(type(field.default))
        if other is None:
            continue
        with pytest.raises(ValidationError, match=name):
            SipeConfig(published=True, **{name: other})


def test_all_changes_are_named_at_once():
    with pytest.raises(ValidationError, match="but side_factor, consistency_weight changes it"):
        SipeConfig(published=True, side_factor=2, consistency_weight=2)


def test_a_matched_factor_on_the_map_is_refused():
    with pytest.raises(ValidationError, match="give a number for `map`"):
        SipeConfig(background_factor="matched", background_factor_on="map")
    assert SipeConfig(background_factor=0.7, background_factor_on="map").background_factor == 0.7


def test_the_background_factor_is_a_positive_number_or_the_word():
    with pytest.raises(ValidationError, match="background_factor"):
        SipeConfig(background_factor=0)
    with pytest.raises(ValidationError, match="background_factor"):
        SipeConfig(background_factor="automatic")


# ── EPS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("option", ["refined_saliency", "background_last"])
def test_options_of_refined_maps_need_them(option):
    with pytest.raises(ValidationError, match=r"need `equivariance`, for example \{\}"):
        EpsConfig(**{option: True})
    assert EpsConfig(**{option: True, "equivariance": {}}).equivariance == EquivarianceConfig()


# ── ranges ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (CamConfig, {"dropout": 1}),
        (SeamConfig, {"dropout": -0.1}),
        (SeamConfig, {"maps": "raw"}),
        (EquivarianceConfig, {"view_scale": 1}),
        (EquivarianceConfig, {"view_size": 0}),
        (EquivarianceConfig, {"levels": (1,)}),
        (EquivarianceConfig, {"cross_fraction": 0}),
        (EquivarianceConfig, {"min_pool_fraction": 1.1}),
        (EquivarianceConfig, {"correlation_memory": 0}),
        (EpsConfig, {"overlap": 1}),
        (EpsConfig, {"absent_share": 1.1}),
        (EpsConfig, {"saliency_weight": -1}),
        (SipeConfig, {"levels": ()}),
        (SipeConfig, {"widths": ()}),
        (SipeConfig, {"side_factor": 0}),
        (SipeConfig, {"structure_memory": 0}),
        (PpcConfig, {"background": 1.1}),
        (PpcConfig, {"width": 0}),
        (PpcConfig, {"temperature": 0}),
        (PpcConfig, {"prototype_fraction": 0}),
        (PpcConfig, {"kept_prototypes": 0}),
        (PpcConfig, {"skipped_prototypes": -1}),
        (PpcConfig, {"hard_fraction": 0.49}),
        (PpcConfig, {"view_scale": 1}),
        (PpcConfig, {"base_losses": "second_view"}),
    ],
)
def test_settings_out_of_range_are_refused(config, wrong):
    base = {"base": {"kind": "cam"}} if config is PpcConfig else {}
    assert config.model_validate(base)
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        config.model_validate(base | wrong)
