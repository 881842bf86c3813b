"""Parts of the pages that are made from the code: they name everything there is, in tables that hold together."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from tagmask.cli import app
from tagmask.config import CamConfig, Recipe
from tagmask.config.recipes import recipe_names
from test_docs import ROOT, load_script

EXTENSIONS = ROOT / "docs_build"


@pytest.fixture(scope="module", autouse=True)
def extensions() -> Iterator[None]:
    """The extensions of the site can import each other, as they do when Sphinx loads them."""
    sys.path.insert(0, str(EXTENSIONS))
    yield
    sys.path.remove(str(EXTENSIONS))


@pytest.fixture(scope="module")
def commands() -> ModuleType:
    return load_script(EXTENSIONS / "commands.py")


@pytest.fixture(scope="module")
def settings() -> ModuleType:
    return load_script(EXTENSIONS / "settings.py")


@pytest.fixture(scope="module")
def api() -> ModuleType:
    return load_script(EXTENSIONS / "api.py")


def columns(table: str) -> set[int]:
    """How many cells the rows of a table have."""
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return {len(re.findall(r"(?<!\\)\|", row)) - 1 for row in rows}


def test_every_command_has_a_section_with_all_its_options(commands: ModuleType) -> None:
    text = commands.commands()
    group = typer.main.get_command(app)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(group.commands)
    for name, command in group.commands.items():
        section = text.split(f"## {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                assert f"`{parameter.opts[0]}" in section
    assert columns(text) == {3}


def test_a_call_shows_what_is_required_alone(commands: ModuleType) -> None:
    assert "tagmask predict IMAGES --model MODEL --out FOLDER\n" in commands.commands()


def test_an_example_at_the_end_of_help_becomes_a_block(commands: ModuleType) -> None:
    class Command:
        help = "Does it.\n\nExample: tagmask do it"
        epilog = None

    assert commands.described(Command) == ("Does it.", "```sh\ntagmask do it\n```\n\n")


def test_the_table_of_recipes_names_each_once(settings: ModuleType) -> None:
    text = settings.recipes()
    assert re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE) == recipe_names()
    assert columns(text) == {5}


def test_every_setting_of_a_recipe_has_a_row(settings: ModuleType) -> None:
    text = settings.settings()
    for _, model in settings.blocks("", Recipe):
        for name in model.model_fields:
            assert f"| `{name}` |" in text
    assert columns(text) == {4}
    assert "## `method`: `seam`" in text
    assert "## `method.equivariance`" in text


def test_values_ranges_and_defaults_are_in_words(settings: ModuleType) -> None:
    rows = settings.table(CamConfig).splitlines()
    assert rows[2] == "| `kind` | `cam` | `cam` |  |"
    assert rows[3] == "| `dropout` | number, ≥ 0, < 1 | `0.5` | Channel dropout before the classifier. |"
    assert settings.values(tuple[int, ...] | None) == "list of integer or `null`"
    assert settings.values(tuple[float, float]) == "2 of number"


def test_the_pages_of_the_api_cover_every_module_once(api: ModuleType) -> None:
    pages = sorted((ROOT / "docs" / "api").glob("*.md"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    places = [
        name for line in re.findall(r"^```\{generated\} rooms (.+)$", text, re.MULTILINE) for name in line.split()
    ]
    covered = [module for name in places if importlib.util.find_spec(name) for module in api.modules(name)]
    files = (ROOT / "src").rglob("*.py")
    names = {".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__") for path in files}
    real = {name for name in names if not name.rpartition(".")[2].startswith("_")}
    with_a_page_of_its_own = {name for name in real if name.startswith("tagmask.cli")}
    assert sorted(covered) == sorted(real - with_a_page_of_its_own)


def test_a_module_becomes_a_section(api: ModuleType) -> None:
    text = api.rooms("tagmask.errors", "tagmask.nosuch")
    assert text == "## `tagmask.errors`\n\n```{eval-rst}\n.. automodule:: tagmask.errors\n```"
    assert ".. autofunction:: tagmask.load_recipe" in api.rooms("tagmask")


def test_links_out_of_docs_lead_to_what_the_site_has() -> None:
    pytest.importorskip("sphinx", reason="the documentation group is not installed: make docs")
    relinked = load_script(EXTENSIONS / "generated.py").relinked
    docs = ROOT / "docs"
    name = next((ROOT / "benchmarks" / "records").glob("*_folder-cpu_*")).name
    for link, found in {
        "[a](../README.md)": "[a](/index.md)",
        "[a](own-data.md#splits)": "[a](own-data.md#splits)",
        f"[a](../benchmarks/records/{name}/README.md)": f"[a](#record-{name})",
        "[a](../benchmarks/run.py)": "[a](/../benchmarks/run.py)",
        "[a](https://semver.org)": "[a](https://semver.org)",
    }.items():
        assert relinked(link, docs) == found
    assert relinked("[a](docs/glossary.md#conventions)", ROOT) == "[a](/glossary.md#conventions)"


def test_headings_get_smaller_and_code_does_not() -> None:
    pytest.importorskip("sphinx", reason="the documentation group is not installed: make docs")
    smaller = load_script(EXTENSIONS / "generated.py").smaller
    assert smaller("# a\n```sh\n# b\n```\n## c") == "## a\n```sh\n# b\n```\n### c"


def test_extensions_are_small() -> None:
    for path in Path(EXTENSIONS).glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 200
