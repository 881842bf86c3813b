"""Families of settings, among them those that other packages bring: small packages lie installed in a folder."""

import json
import sys
from typing import Annotated, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from shared_runs import tiny_recipe
from tagmask.config import Config, MasksConfig, PpcConfig, Recipe, settings_of
from tagmask.config.kinds import Kinds, brought, kind_of, models_of, package_of, points
from tagmask.config.methods import METHOD_GROUP, METHOD_KINDS, MethodConfig
from tagmask.config.recipes import load_recipe
from tagmask.errors import TagmaskError

GROUP = "tagmask.methods"
SOURCE = """
from typing import Literal
from tagmask.config import MethodConfig

class GlowConfig(MethodConfig):
    kind: Literal["glow"] = "glow"
    warmth: float = 0.5

class Glow:
    config_type = GlowConfig

class Bare:
    pass

class Unfitting:
    config_type = dict

class Misnamed:
    config_type = GlowConfig
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs packages of a module and entry points, for one test."""
    modules: list[str] = []

    def call(package: str, entries: dict[str, str], source: str = SOURCE, group: str = GROUP) -> None:
        module = package.replace("-", "_")
        modules.append(module)
        folder = tmp_path / package
        facts = folder / f"{module}-1.2.dist-info"
        facts.mkdir(parents=True)
        (folder / f"{module}.py").write_text(source)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = [f"{kind} = {module}:{name}" for kind, name in entries.items()]
        (facts / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
        monkeypatch.syspath_prepend(folder)
        brought.cache_clear()

    yield call
    brought.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


# ── a family ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Shape(Config):
    kind: str


class Circle(Shape):
    """Round.

    More lines.
    """

    kind: Literal["circle"] = "circle"
    radius: float = 1.0


class Square(Shape):
    """Not round."""

    kind: Literal["square"] = "square"
    side: Annotated[float, "cm"] = 2.0


SHAPES = Kinds(Shape, (Circle, Square))


class Drawing(Config):
    shape: Annotated[Shape, SHAPES]
    frame: Annotated[Shape, SHAPES] | None = None


def test_settings_become_those_of_their_kind():
    assert Drawing.model_validate({"shape": {"kind": "square", "side": 3}}).shape == Square(side=3)


def test_settings_that_are_made_already_stay_what_they_are():
    circle = Circle(radius=7)
    assert Drawing(shape=circle).shape is circle


@pytest.mark.parametrize("mode", ["python", "json"])
def test_all_fields_of_the_kind_are_written(mode):
    drawing = Drawing(shape=Circle(radius=7), frame=Square())
    written = drawing.model_dump(mode=mode)
    assert written == {"shape": {"kind": "circle", "radius": 7}, "frame": {"kind": "square", "side": 2}}
    assert Drawing.model_validate(written) == drawing


def test_where_a_family_is_optional_nothing_may_stand():
    assert Drawing(shape=Circle(), frame=None).frame is None
    assert Drawing.model_validate_json('{"shape": {"kind": "circle"}, "frame": null}').frame is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("circle", "expected keys and values, for example {kind: ...}"),
        (3, "expected keys and values, for example {kind: ...}"),
        ({"radius": 2}, "needs a `kind`; known: circle, square"),
        ({"kind": "sqare"}, "unknown kind 'sqare'; known: circle, square; did you mean 'square'?"),
        ({"kind": None}, "unknown kind 'None'; known: circle, square"),
        ({"kind": "hexagon"}, "unknown kind 'hexagon'; known: circle, square"),
    ],
)
def test_what_is_no_kind_is_refused_in_words(value, message):
    with pytest.raises(ValidationError) as error:
        Drawing.model_validate({"shape": value})
    problem = error.value.errors()[0]
    assert problem["msg"] == message
    assert problem["loc"] == ("shape",)


def test_a_value_that_does_not_fit_is_told_by_its_place():
    with pytest.raises(ValidationError) as error:
        Drawing.model_validate({"shape": {"kind": "circle", "radius": "wide"}})
    assert error.value.errors()[0]["loc"] == ("shape", "radius")


def test_a_family_of_the_package_alone_knows_no_other_packages(install):
    install("tagmask-glow", {"glow": "Glow"})
    assert SHAPES.names() == ["circle", "square"]
    assert SHAPES.named("glow") is None
    assert SHAPES.named("circle") is Circle


def test_kinds_are_listed_with_the_first_line_about_them():
    assert SHAPES.listed() == [("circle", "Round.", "tagmask"), ("square", "Not round.", "tagmask")]


def test_the_kind_of_a_class_is_that_of_its_settings():
    assert (kind_of(Circle), kind_of(PpcConfig)) == ("circle", "ppc")


# ── looking up ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_classes_that_may_stand_in_a_field_are_found_through_unions_and_families():
    def names(config: type[Config], field: str) -> list[str]:
        return [model.__name__ for model in models_of(config.model_fields[field])]

    assert names(Drawing, "shape") == names(Drawing, "frame") == ["Circle", "Square"]
    assert names(MasksConfig, "crf") == ["CrfConfig"]
    assert names(MasksConfig, "confident") == ["PowerLabels", "ThresholdLabels", "LearntLabels"]
    assert names(Recipe, "seed") == []


# ── other packages ───────────────────────────────────────────────────────────────────────────────────────────────────

METHOD = "method={kind: glow, warmth: 0.75}"


def test_a_recipe_names_a_kind_of_another_package(install):
    install("tagmask-glow", {"glow": "Glow"})
    recipe = tiny_recipe(METHOD)
    assert (recipe.method.kind, recipe.method.label, recipe.method.warmth) == ("glow", "glow", 0.75)
    assert isinstance(recipe.method, MethodConfig)


def test_a_recipe_with_a_kind_of_another_package_survives_json(install):
    install("tagmask-glow", {"glow": "Glow"})
    recipe = tiny_recipe(METHOD)
    again = Recipe.model_validate(json.loads(recipe.model_dump_json()))
    assert again == recipe
    assert type(again.method) is type(recipe.method)
    assert settings_of(recipe, None)["method"] == {"kind": "glow", "warmth": 0.75}


def test_a_kind_of_another_package_goes_inside_a_wrapper(install):
    install("tagmask-glow", {"glow": "Glow"})
    recipe = tiny_recipe("method={kind: ppc, base: {kind: glow}}")
    assert recipe.method.label == "ppc(glow)"
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_key_that_a_foreign_kind_does_not_know_is_told_by_its_place(install):
    install("tagmask-glow", {"glow": "Glow"})
    with pytest.raises(TagmaskError, match=r"  method\.warmht: unknown key; did you mean 'warmth'\?"):
        tiny_recipe("method={kind: glow, warmht: 1}")
    with pytest.raises(TagmaskError, match=r"  method\.base\.x: unknown key; known here: kind, warmth$"):
        tiny_recipe("method={kind: ppc, base: {kind: glow, x: 1}}")


def test_foreign_kinds_are_known_and_may_be_meant(install):
    install("tagmask-glow", {"glow": "Glow"})
    with pytest.raises(
        TagmaskError,
        match=r"method: unknown kind 'glwo'; known: cam, seam, eps, sipe, pyramid, ppc, glow; did you mean 'glow'",
    ):
        load_recipe("toy", ["method={kind: glwo}"])


def test_nothing_is_imported_before_its_kind_is_named(install):
    install("tagmask-broken", {"broken": "Any"}, source="raise RuntimeError('imported')")
    assert "broken" in METHOD_KINDS.names()
    assert ("broken", "tagmask_broken:Any", "tagmask-broken 1.2") in METHOD_KINDS.listed()
    assert tiny_recipe().method.kind == "cam"
    assert "tagmask_broken" not in sys.modules


def test_a_kind_of_the_package_cannot_be_replaced_and_the_listing_says_so(install):
    install("tagmask-glow", {"seam": "Glow"})
    assert METHOD_KINDS.names().count("seam") == 1
    assert tiny_recipe("method={kind: seam}").method.label == "seam"
    text = "tagmask_glow:Glow; not reachable: tagmask has one of this name"
    assert ("seam", text, "tagmask-glow 1.2") in METHOD_KINDS.listed()


def test_kinds_of_another_group_are_not_methods(install):
    install("tagmask-glow", {"glow": "Glow"}, group="tagmask.affinity_networks")
    assert "glow" not in METHOD_KINDS.names()
    assert [point.name for point in points("tagmask.affinity_networks")] == ["glow"]


def test_entry_points_come_by_name(install):
    install("tagmask-glow", {"glow": "Glow", "ember": "Glow"})
    assert [point.name for point in points(GROUP)] == ["ember", "glow"]


def test_the_class_is_loaded_once(install):
    install("tagmask-glow", {"glow": "Glow"})
    first = brought(METHOD_GROUP, "glow", MethodConfig)
    assert first.__name__ == "Glow"
    assert brought(METHOD_GROUP, "glow", MethodConfig) is first


def test_two_packages_with_one_kind_are_both_named(install):
    install("tagmask-glow", {"glow": "Glow"})
    install("tagmask-ember", {"glow": "Glow"})
    with pytest.raises(TagmaskError, match=r"'glow' of tagmask.methods is brought by .*; .* exactly one") as error:
        tiny_recipe(METHOD)
    assert "tagmask-glow 1.2" in str(error.value)
    assert "tagmask-ember 1.2" in str(error.value)


def test_a_kind_that_no_package_brings_any_more_is_told():
    with pytest.raises(TagmaskError, match=r"'gone' of tagmask\.methods is brought by no installed package; install"):
        brought(METHOD_GROUP, "gone", MethodConfig)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_package_that_is_missing", "ModuleNotFoundError: No module named 'a_package_that_is_missing'"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("other = 1", "AttributeError: module 'tagmask_glow' has no attribute 'Glow'"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named_with_the_reason(install, source, reason):
    install("tagmask-glow", {"glow": "Glow"}, source)
    with pytest.raises(TagmaskError) as error:
        tiny_recipe(METHOD)
    assert str(error.value) == (
        "'glow' of tagmask.methods (tagmask_glow:Glow, package tagmask-glow 1.2) cannot be imported: "
        f"{reason}; repair or uninstall that package."
    )


@pytest.mark.parametrize(
    ("kind", "name"), [("glow", "Bare"), ("glow", "Unfitting"), ("glow", "GlowConfig"), ("shine", "Misnamed")]
)
def test_a_class_without_fitting_settings_is_told_how_they_look(install, kind, name):
    install("tagmask-glow", {kind: name})
    with pytest.raises(TagmaskError) as error:
        tiny_recipe(f"method={{kind: {kind}}}")
    assert str(error.value).endswith(
        "has no fitting settings; give the class an attribute `config_type`: a subclass of tagmask.config.MethodConfig "
        f'with `kind: Literal["{kind}"] = "{kind}"`.'
    )


def test_an_entry_point_of_nothing_installed_belongs_to_an_unknown_package(install):
    install("tagmask-glow", {"glow": "Glow"})
    found = points(GROUP)[0]
    assert package_of(found) == "tagmask-glow 1.2"
    alone = type(found)(name="glow", value="tagmask_glow:Glow", group=GROUP)
    assert package_of(alone) == "unknown"


def test_the_family_is_also_a_type_for_pydantic_alone(install):
    install("tagmask-glow", {"glow": "Glow"})
    adapter = TypeAdapter(Annotated[MethodConfig, METHOD_KINDS])
    assert adapter.dump_python(adapter.validate_python({"kind": "glow"})) == {"kind": "glow", "warmth": 0.5}
