"""The pages for people: links, commands, settings, functions, files and numbers in them must be real."""

import importlib
import importlib.util
import json
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
import yaml
from pydantic import BaseModel

import tagmask
from tagmask.cli import app
from tagmask.config import Recipe
from tagmask.config.kinds import models_of
from tagmask.config.recipes import load_recipe, recipe_names
from tagmask.scoring.comparison_figures import ComparisonFigures, RunFigures, recipe_figures, write_figures

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PACKAGE = ROOT / "src" / "tagmask"
DOCS = ROOT / "docs"
NAMES = ("CONTRIBUTING.md", "CHANGELOG.md", "AGENTS.md", "SECURITY.md")
OWN = [
    README,
    *(ROOT / name for name in NAMES),
    *(page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts),
]
NOTEBOOKS = sorted(DOCS.glob("*.ipynb"))
PAGES = [*OWN, *sorted((ROOT / "benchmarks").rglob("*.md"))]
METHOD_PAGES = [page for page in OWN if page.parent.name == "methods" and page.name != "index.md"]
FILE_ENDINGS = (
    "safetensors",
    "json",
    "jsonl",
    "csv",
    "tex",
    "html",
    "png",
    "npz",
    "pt",
    "pt2",
    "onnx",
    "xml",
    "bin",
    "pth",
    "py",
    "md",
    "yaml",
    "toml",
    "params",
    "txt",
    "jpg",
    "xml",
    "zip",
    "tar",
    "tgz",
)
FORBIDDEN = ["/work/", "../shared", "session", "issue #", "todo", "\N{EM DASH}"]
LIBRARIES = ("numpy.", "torch.", "yaml.")
ENTRY_POINTS = ("tagmask.methods", "tagmask.affinity_networks")
PLACES = ("config", "contracts", "methods", "affinity", "networks", "testing", "stages", "reviews", "scoring")
SHORT = 10_000  # bytes of the README


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Fenced code of a language; fences may be indented."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def spans(page: Path) -> list[str]:
    """Inline code."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ── words and links ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", OWN, ids=ids)
@pytest.mark.parametrize("word", FORBIDDEN)
def test_pages_have_no_word_of_a_workplace(page: Path, word: str) -> None:
    assert word not in page.read_text(encoding="utf-8").lower()


def slug(heading: str) -> str:
    """The anchor a heading gets on usual hosts."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_relative_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name}: {target}"
        assert path.is_relative_to(ROOT)
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            for shown in re.findall(r"^```\{generated\} file (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
                headings += re.findall(r"^#+ (.+)$", (ROOT / shown).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name}: {target}"


def toctree(page: Path) -> set[Path]:
    """The pages that the navigation of a page lists."""
    found = set()
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        lines = [line.strip() for line in block.splitlines()]
        found |= {written_as(page.parent / line) for line in lines if line and not line.startswith(":")}
    return found


def written_as(page: Path) -> Path:
    """The file of a page that the navigation names: Markdown, or a notebook."""
    notebook = page.with_name(f"{page.name}.ipynb")
    return notebook if notebook.exists() else page.with_name(f"{page.name}.md")


def test_every_page_is_in_the_navigation_and_nothing_else() -> None:
    listed = set().union(*map(toctree, OWN)) | {DOCS / "index.md"}
    assert listed == {page for page in OWN if page.is_relative_to(DOCS)} | set(NOTEBOOKS)


def test_the_readme_is_one_screen_and_links_the_pages_beside_it() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.encode()) <= SHORT
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff"):
        assert f"]({name})" in text


def test_the_picture_is_small() -> None:
    assert 10_000 < (ROOT / "docs" / "pipeline.png").stat().st_size < 300_000


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def command_lines(page: Path) -> list[str]:
    """Lines of shell blocks and inline code that call tagmask."""
    shell = [line.strip() for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in [*shell, *spans(page)] if re.search(r"(^|/|-m )tagmask( |$)", line)]


def check_command(line: str) -> None:
    """Parse the words after ``tagmask`` as the command line would; recipes and settings must fit."""
    words = shlex.split(line)
    at = max(i for i, word in enumerate(words) if word == "tagmask" or word.endswith("/tagmask"))
    arguments = words[at + 1 :]
    group: Any = typer.main.get_command(app)
    if not arguments or arguments == ["…"]:
        return
    if arguments[0].startswith("-"):  # an option of tagmask itself
        assert arguments[0] in {option for parameter in group.params for option in parameter.opts}, line
        return
    assert arguments[0] in group.commands, line
    if len(arguments) == 1 and "/" not in line:  # a command mentioned by name
        return
    context = group.commands[arguments[0]].make_context(arguments[0], arguments[1:])
    if "kind: top" in line:  # the method of the tutorial, which is not installed here
        return
    recipe = context.params.get("recipe") or context.params.get("name")
    for named in context.params.get("names") or [recipe]:  # `compare` takes several
        # Of a data folder alone, or of `auto`, data that are not here decide.
        if named is not None and not named.endswith(".yaml") and named not in ("auto", "photos"):
            load_recipe(named, context.params.get("settings") or [])


@pytest.mark.parametrize("page", OWN, ids=ids)
def test_commands_parse(page: Path) -> None:
    for line in command_lines(page):
        check_command(line)


def test_the_readme_shows_how_to_run_and_to_predict() -> None:
    assert {shlex.split(line)[1] for line in command_lines(README)} >= {"run", "predict"}


@pytest.mark.parametrize(
    "line",
    [
        "tagmask rum toy --out runs/x",
        "tagmask run nosuch --out runs/x",
        "tagmask compare toy",
        "tagmask run toy --out runs/x --set walk.bata=2",
        "tagmask run toy --out runs/x --option 3",
    ],
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    with pytest.raises(Exception):  # noqa: B017 - typer, pydantic and plain asserts refuse in their own ways
        check_command(line)


@pytest.mark.parametrize("page", OWN, ids=ids)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shell = [line for block in blocks(page, "sh") for line in block.splitlines()]
    named = {target for text in [*shell, *spans(page)] for target in re.findall(r"^make ([a-z]+)", text)}
    assert named <= targets


def test_the_two_commands_stand_word_for_word() -> None:
    assert "make demo\nmake test\n" in blocks(README, "sh")
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_tables_of_recipes_name_recipes_that_exist() -> None:
    for page in OWN:
        named = re.findall(
            r"^\| \[?`((?:toy|folder|voc|coco)[\w-]*)(?:\+ppc)?`", page.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert set(named) <= set(recipe_names()), page


# ── settings and functions ───────────────────────────────────────────────────────────────────────────────────────────


def is_setting(path: str) -> bool:
    """Whether a dotted path leads to a field of a recipe, through any of the models a field may hold."""
    models: list[type[BaseModel]] = [Recipe]
    for name in path.split("."):
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        if not fields:
            return False
        models = [model for field in fields for model in models_of(field)]
    return True


def is_member(path: str) -> bool:
    """Whether a dotted path leads to a module, class, function or attribute of the package."""
    found: Any = tagmask
    for name in path.split("."):
        if isinstance(found, ModuleType):
            try:
                found = importlib.import_module(f"{found.__name__}.{name}")
                continue
            except ModuleNotFoundError:
                pass
        if not hasattr(found, name) and name not in getattr(found, "__annotations__", {}):
            return False
        found = getattr(found, name, None)
    return True


def dotted(page: Path) -> list[str]:
    """Inline code that looks like a setting or a member of the package."""
    found = [re.sub(r"\(.*\)$", "", text.split("=")[0].split(" ")[0]) for text in spans(page)]
    names = [name for name in found if re.fullmatch(r"[a-zA-Z_]\w*(\.[a-zA-Z_]\w*)+", name)]
    names = [n for n in names if n not in ENTRY_POINTS]
    return [n for n in names if n.rsplit(".", 1)[1] not in FILE_ENDINGS and not n.startswith(LIBRARIES)]


@pytest.mark.parametrize("page", OWN, ids=ids)
def test_settings_and_functions_exist(page: Path) -> None:
    wrong = [n for n in dotted(page) if not (is_setting(n) or is_member(n.removeprefix("tagmask.")) or is_public(n))]
    assert wrong == []


def is_public(name: str) -> bool:
    """``Activation.maps`` and the like: members of the classes in ``contracts``."""
    return is_member(f"contracts.{name}")


def test_the_checks_of_names_can_fail() -> None:
    assert is_setting("masks.background.rule")
    assert is_setting("backbone.pad_type")
    assert not is_setting("masks.background.role")
    assert is_member("methods.cam.tag_loss")
    assert not is_member("methods.cam.tag_lass")
    assert not is_member("nosuch.thing")


def test_the_pages_of_methods_name_settings_and_functions() -> None:
    for page in METHOD_PAGES:
        names = dotted(page)
        assert sum(map(is_setting, names)) >= 5, page
        assert sum(map(is_member, names)) >= 5, page


def defaults_of(path: str) -> list[Any]:
    """The defaults of a setting: several where models of one name differ, as the affinity networks do."""
    models: list[type[BaseModel]] = [Recipe]
    for name in path.split("."):
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        models = [model for field in fields for model in models_of(field)]
    return [field.default for field in fields]


@pytest.mark.parametrize("page", METHOD_PAGES, ids=ids)
def test_single_numbers_in_default_columns_are_the_defaults(page: Path) -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (-?[\d.]+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    for path, shown in rows:
        assert float(shown) in defaults_of(path), path


def test_the_defaults_are_those_of_every_model_of_a_setting() -> None:
    assert defaults_of("walk.beta") == [8]
    assert {5, 10} <= set(defaults_of("affinity.radius"))


# ── code ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", OWN, ids=ids)
def test_python_blocks_compile(page: Path) -> None:
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")
    for code in blocks(page, "json"):
        json.loads(code)


def test_public_names_of_the_readme_exist() -> None:
    used = set(re.findall(r"tagmask\.([a-z_]+)\(", "\n".join(blocks(README, "python"))))
    assert used
    assert used <= set(tagmask.__all__)


def foreign_imports(code: str) -> list[str]:
    """Imports of tagmask that are not of a public place."""
    found = re.findall(r"^\s*(?:from|import) (tagmask(?:\.\w+)*)(?= |$)", code, re.MULTILINE)
    return [place for place in found if place != "tagmask" and place.removeprefix("tagmask.") not in PLACES]


@pytest.mark.parametrize("page", OWN, ids=ids)
def test_pages_import_from_public_places(page: Path) -> None:
    assert foreign_imports("\n".join(blocks(page, "python"))) == []


def test_examples_import_from_public_places() -> None:
    for path in sorted((ROOT / "examples").rglob("*.py")):
        assert foreign_imports(path.read_text(encoding="utf-8")) == [], path


def test_the_api_names_the_public_places() -> None:
    public = (DOCS / "api" / "index.md").read_text(encoding="utf-8").split("The other rooms")[0]
    assert set(re.findall(r"\[`tagmask\.(\w+)`\]", public)) == set(PLACES)


def test_the_check_of_imports_can_fail() -> None:
    assert foreign_imports("from tagmask.masks.crf import refine\nimport tagmask\n") == ["tagmask.masks.crf"]
    assert foreign_imports("from tagmask import load\nfrom tagmask.config import Recipe\n") == []


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_rooms_are_those_of_the_package() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "rooms.md").read_text(encoding="utf-8"), re.MULTILINE)
    real = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith(("_", "."))}
    assert set(rows) == real - {"conventions", "errors"}  # words, not rooms


def layers(page: Path) -> list[str]:
    """The diagram of rooms on a page, a line each."""
    return next(block for block in blocks(page, "text") if "stages\n" in block).splitlines()


def test_the_layers_are_those_of_the_linter() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    checked = next(contract["layers"] for contract in contracts if contract["id"] == "rooms")
    assert layers(ROOT / "CONTRIBUTING.md") == [line for line in checked if line != "__main__"]


def test_both_diagrams_of_the_rooms_are_alike() -> None:
    assert layers(ROOT / "CONTRIBUTING.md") == layers(DOCS / "rooms.md")


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 60


def test_the_changelog_and_the_citation_name_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (.+)$", log, re.MULTILINE)
    assert headings[0].startswith(project["version"])
    assert headings[1:4] == ["Added", "Changed", "Fixed"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == project["version"]
    assert citation["license"] == project["license"]


def test_the_citation_file_has_what_its_format_requires() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= citation.keys()
    assert all(author.keys() == {"name"} for author in citation["authors"])
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys()
        assert all(author.keys() <= {"family-names", "given-names"} for author in reference["authors"])
        assert re.fullmatch(r"10\.\d{4,}/\S+", reference.get("doi", "10.1000/x"))


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def results() -> ModuleType:
    return load_script(ROOT / "benchmarks" / "make_results.py")


def test_the_results_are_those_of_the_records(results: ModuleType) -> None:
    records = results.read_records(ROOT / "benchmarks" / "records")
    for path in results.pages():
        text = path.read_text(encoding="utf-8")
        assert results.page_text(path, records) == text, f"{path.name}: run benchmarks/make_results.py"


def test_every_page_of_a_method_shows_what_was_measured(results: ModuleType) -> None:
    for page in (DOCS / "methods").glob("*.md"):
        if page.name != "index.md":
            assert results.MARKERS.search(page.read_text(encoding="utf-8")), page


def test_without_a_record_it_says_so(results: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Records")
    assert results.section(results.read_records(tmp_path)) == "No record yet."


def write_record(folder: Path, scores: object, front: str = "") -> None:
    folder.mkdir()
    lines = "# Cats\n\nCommand: tagmask run toy\nData: cats, 3 images\nSeeds: 0, 1\nHardware: 2 CPU cores\n"
    (folder / "README.md").write_text(front or f"{lines}\nThe cats sat still.\n")
    (folder / "scores.json").write_text(json.dumps(scores))


def seed(iou: float, threshold: float) -> dict[str, object]:
    return {
        "tags": {"mean_average_precision": 0.5, "protocol": "classifier on cats."},
        "seed_best": {"mean_iou": iou, "protocol": f"seed on cats; threshold {threshold}."},
    }


def test_a_record_becomes_a_table(results: ModuleType, tmp_path: Path) -> None:
    write_record(tmp_path / "2026-01-02_toy_cpu", [seed(0.4, 0.2), seed(0.5, 0.3)])
    text = results.section(results.read_records(tmp_path))
    assert "## Cats" in text
    assert "- Hardware: 2 CPU cores" in text
    assert "```sh\ntagmask run toy\n```" in text
    assert "| classifier, mean average precision | 50.0 ± 0.0 | classifier on cats. |" in text
    assert "| seed, best threshold | 45.0 ± 7.1 | seed on cats; threshold 0.2. / seed on cats; threshold 0.3. |" in text
    assert "segmentation network" not in text


def test_a_comparison_becomes_a_table_of_recipes(results: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "2026-01-02_comparison_cpu"
    write_record(folder, [])
    (folder / "scores.json").unlink()
    with pytest.raises(ValueError, match=r"no scores.json"):
        results.read_records(tmp_path)
    runs = [
        RunFigures(
            seed=s, folder=f"toy/seed-{s}", finished=True, scores={"mask": 0.4 + s / 10}, seconds={"predict": 9.0}
        )
        for s in (0, 1)
    ]
    figures = ComparisonFigures(
        command="tagmask compare toy",
        data="cats",
        goal="mask",
        seeds=[0, 1],
        recipes=[recipe_figures("toy", "toy", "cam", runs, runs)],
        settings={},
        warnings=[],
        environment={},
    )
    write_figures(folder / "comparison.json", figures)
    text = results.section(results.read_records(tmp_path))
    assert "## Cats" in text
    assert "| recipe | pseudo masks (%) | time (s) |" in text
    assert "| toy | 45.0 ± 7.1 | 9 ± 0 |" in text


def test_one_seed_has_no_deviation_and_new_records_come_first(results: ModuleType, tmp_path: Path) -> None:
    write_record(tmp_path / "2026-01-02_toy_cpu", seed(0.4, 0.2))
    write_record(tmp_path / "2026-01-03_toy_cpu", seed(0.6, 0.2))
    text = results.section(results.read_records(tmp_path))
    assert [m.group() for m in re.finditer(r"\b[46]0\.0\b", text)] == ["60.0", "40.0"]
    assert "±" not in text


def test_a_record_without_its_circumstances_is_refused(results: ModuleType, tmp_path: Path) -> None:
    write_record(tmp_path / "2026-01-02_toy_cpu", seed(0.4, 0.2), front="# Cats\n\nData: cats\nSeeds: 0\n")
    with pytest.raises(ValueError, match="Command, Hardware"):
        results.read_records(tmp_path)


def test_front_lines_end_at_prose(results: ModuleType) -> None:
    title, facts = results.front_lines("# Cats\n\nSeeds: 0\n\nSome prose.\nNote: not a front line.\n")
    assert (title, facts) == ("Cats", {"Seeds": "0"})


def test_recipes_stand_side_by_side(results: ModuleType, tmp_path: Path) -> None:
    front = "# Cats\n\nCommand: tagmask run {}\nData: cats\nSeeds: 0, 1\nHardware: 2 cores\nTime: 7 min, busy\n"
    write_record(tmp_path / "2026-01-02_a_cpu", [seed(0.4, 0.2), seed(0.5, 0.3)], front.format("folder-cpu"))
    write_record(tmp_path / "2026-01-03_b_cpu", [seed(0.4, 0.2), seed(0.4, 0.2)], front.format("folder"))
    write_record(tmp_path / "2026-01-04_c_cpu", seed(0.9, 0.2), front.format("toy"))
    records = results.of_recipes(results.read_records(tmp_path), [])
    assert results.side_by_side(records, ("seed_best", "mask"), "../", minutes=True).splitlines() == [
        "| recipe | seed, best threshold (%) | minutes |",
        "| --- | --: | --: |",
        "| [`folder`](../benchmarks/records/2026-01-03_b_cpu/README.md) | 40.0 | 7 |",
        "| [`folder-cpu`](../benchmarks/records/2026-01-02_a_cpu/README.md) | 45.0 ± 7.1 | 7 |",
        "",
        "- Data: cats.",
        "- Seed, best threshold: seed on cats; threshold 0.2. / seed on cats; threshold 0.3.",
    ]
    assert results.side_by_side([], ("mask",), "") == results.NO_RECORD


def test_the_newest_record_of_a_recipe_is_shown(results: ModuleType, tmp_path: Path) -> None:
    for day, iou in ((2, 0.4), (3, 0.6)):
        write_record(tmp_path / f"2026-01-0{day}_toy_cpu", seed(iou, 0.2))
    [record] = results.of_recipes(results.read_records(tmp_path), ["toy", "nosuch"])
    assert record.name.startswith("2026-01-03")


def test_markers_stand_once_and_in_order(results: ModuleType) -> None:
    assert results.with_section(f"a\n{results.BEGIN}\nold\n{results.END}\nb", "new").split("\n") == [
        "a",
        results.BEGIN,
        "new",
        results.END,
        "b",
    ]
    for broken in ("nothing", f"{results.END}{results.BEGIN}"):
        with pytest.raises(ValueError, match="once each"):
            results.with_section(broken, "new")


def test_dated_entries_of_the_log_are_newest_first() -> None:
    log = (ROOT / "benchmarks" / "LOG.md").read_text(encoding="utf-8").split("<!-- entries below -->")[1]
    dates = re.findall(r"^## (\d{4}-\d{2}-\d{2})", log, re.MULTILINE)
    assert all(later >= earlier for later, earlier in pairwise(dates))


def test_what_was_scored_on_other_data_stands_in_a_table_of_its_own(results: ModuleType, tmp_path: Path) -> None:
    front = "# Cats\n\nCommand: tagmask run {}\nData: {}\nSeeds: 0\nHardware: 2 cores\n"
    write_record(tmp_path / "2026-01-02_a_cpu", seed(0.4, 0.2), front.format("folder-cpu", "cats"))
    write_record(tmp_path / "2026-01-03_b_cpu", seed(0.5, 0.2), front.format("folder", "tiles"))
    text = results.side_by_side(results.of_recipes(results.read_records(tmp_path), []), ("seed_best",), "")
    first, second = text.split("- Data: tiles.")
    assert "folder`" in first
    assert "folder-cpu`" in second
    assert second.endswith("- Data: cats.\n- Seed, best threshold: seed on cats; threshold 0.2.")
