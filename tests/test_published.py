"""Every setting of a published recipe has a source, and every source a setting."""

from collections.abc import Iterator
from types import ModuleType

import pytest
from pydantic import ValidationError

from tagmask.config.recipes import load_recipe, recipe_names
from test_docs import ROOT, load_script

PAGES = ROOT / "docs" / "recipes"
PUBLISHED = [name for name in recipe_names() if name.startswith(("voc-", "coco-"))]


@pytest.fixture(scope="module")
def pages() -> Iterator[ModuleType]:
    return load_script(ROOT / "docs_build" / "published.py")


def test_the_published_recipes_are_those_with_sources_and_pages(pages: ModuleType) -> None:
    assert pages.published() == PUBLISHED
    assert {page.name for page in PAGES.glob("*.md")} == {f"{name}.md" for name in PUBLISHED}


def test_every_setting_has_a_source(pages: ModuleType) -> None:
    lacking: dict[str, list[str]] = {}
    for name in PUBLISHED:
        for key in pages.settings_of(load_recipe(name)).keys() - pages.sources(name).keys():
            lacking.setdefault(key, []).append(name)
    lines = [f"add to {pages.FILE}, each to a block of all its recipes, or at the end, with a kind of the file's head:"]
    for names in sorted({tuple(names) for names in lacking.values()}):
        lines += [f"- recipes: [{', '.join(names)}]", "  sources:"]
        lines += [f'    {key}: "KIND: what there is to say"' for key in sorted(lacking) if tuple(lacking[key]) == names]
    assert not lacking, "\n".join(lines)


def test_every_source_is_that_of_a_setting(pages: ModuleType) -> None:
    used = {
        pages.sources(name)[key].place
        for name in PUBLISHED
        for key in pages.settings_of(load_recipe(name)).keys() & pages.sources(name).keys()
    }
    idle = [
        f"{setting} ({', '.join(block.recipes)})"
        for number, block in enumerate(pages.blocks())
        for setting in block.sources
        if (number, setting) not in used
    ]
    assert not idle, f"remove from {pages.FILE}, as no such recipe has the setting or later blocks say more: {idle}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_page_shows_every_setting_once_and_what_departs_twice(pages: ModuleType, name: str) -> None:
    text = pages.recipe_page(name)
    for key, source in ((key, pages.sources(name)[key]) for key in pages.settings_of(load_recipe(name))):
        assert text.count(f"| `{key}` |") == 1 + (source.kind in pages.NOT_AS_PUBLISHED), key
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert f"```{{generated}} recipe_page {name}\n" in page
    assert page.startswith(f"# `{name}`\n")


def test_the_head_of_a_recipe_is_on_its_page(pages: ModuleType) -> None:
    head = pages.comments("voc-psa")
    assert [*head] == ["Expect", "Cost", "Data", "Run", "Notes"]
    assert head["Expect"].startswith("not measured by us yet")
    assert head["Notes"] in pages.recipe_page("voc-psa")


def test_values_are_written_as_in_recipes(pages: ModuleType) -> None:
    recipe = load_recipe("voc-eps-ppc")
    assert pages.shown(recipe.masks.crf) == "`{iterations: 5}`"
    assert pages.shown(load_recipe("voc-psa").masks.crf) == "`psa`"
    assert [*map(pages.shown, (0.00025, (0.5, 1.0), None, True, "sgd"))] == [
        "`0.00025`",
        "`[0.5, 1]`",
        "`null`",
        "`true`",
        "`sgd`",
    ]


def test_a_source_names_its_kind_and_whose_it_is(pages: ModuleType) -> None:
    with pytest.raises(ValidationError, match="must begin with one of paper, code"):
        pages.Block(recipes=("voc-psa",), sources={"training.rate": "somewhere"})
    assert pages.sources("voc-psa")["walk.beta"].words.endswith("PPC share: default of infer_aff")
    assert pages.sources("voc-psa")["training.rate"].kind == "ours"  # a later block stands above an earlier one
