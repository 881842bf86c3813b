"""The rules of the house that no other tool keeps."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tagmask
from tagmask import config
from tagmask.config import Config
from tagmask.config.kinds import models_of

PACKAGE = Path(tagmask.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = Path(__file__).parent

DRAWERS = {"utils", "util", "misc", "tools", "tool", "helpers", "helper", "common"}
LONGEST_BODY = 40
LONGEST_MODULE = 350
LARGEST_ROOM = 14

# Words of the literature for which the glossary has another.
SYNONYMS = {
    "cls_label": "tags",
    "norm_cam": "maps",
    "cam_rv": "maps",
    "pseudo_label": "mask",
    "img1": "view",
    "img2": "view",
    "epoches": "epochs",
    "fea": "features",
}

HEAVY = ("torch", "numpy", "torchvision", "timm", "numba", "accelerate", "PIL", "safetensors")


def names_in(source: str) -> set[str]:
    """Every name that a piece of code binds or asks for."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


def bodies(source: str) -> dict[str, int]:
    """Lines of each function without signature and docstring."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            found[node.name] = lines
    return found


def heavy_imports(code: str) -> list[str]:
    """Heavy packages that a fresh interpreter has loaded after running some code."""
    program = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.splitlines()[-1])


def call_cli(*arguments: str) -> str:
    lines = f"sys.argv = ['tagmask', *{arguments!r}]", "from tagmask.cli import main"
    return "\n".join([*lines, "try:", "    main()", "except SystemExit:", "    pass"])


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_drawers_for_leftovers():
    names = {part for path in MODULES for part in re.split(r"[_.]", path.relative_to(PACKAGE).as_posix()[:-3].lower())}
    folders = {part.lower() for path in MODULES for part in path.relative_to(PACKAGE).parts}
    assert (names | folders) & DRAWERS == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_glossary_is_spoken(path):
    source = path.read_text()
    assert {name: SYNONYMS[name] for name in names_in(source) & SYNONYMS.keys()} == {}
    assert "TODO" not in source
    assert "from __future__ import annotations" not in source  # the shape checker could not read them


def test_the_glossary_check_can_fail():
    assert names_in("def f(cls_label):\n    x.img1 = fea") >= {"cls_label", "img1", "fea"}


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_can_be_read_in_one_go(path):
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_functions_fit_on_a_screen(path):
    assert {name: lines for name, lines in bodies(path.read_text()).items() if lines > LONGEST_BODY} == {}


def test_most_functions_are_short():
    lines = sorted(size for path in MODULES for size in bodies(path.read_text()).values())
    assert lines[len(lines) // 2] <= 8
    assert lines[len(lines) * 9 // 10] <= 25


def test_the_body_count_leaves_out_signature_and_docstring():
    assert bodies('def f(\n    a,\n):\n    """Doc.\n\n    More.\n    """\n    a = 1\n    return a') == {"f": 2}


# ── rooms ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def rooms() -> dict[str, list[Path]]:
    """The modules of each room; what lies in a folder of a room belongs to that folder."""
    found: dict[str, list[Path]] = {}
    for path in MODULES:
        found.setdefault(path.parent.relative_to(PACKAGE).as_posix(), []).append(path)
    return found


def test_no_room_is_crowded(capsys):
    with capsys.disabled():
        sizes = ", ".join(f"{'top' if room == '.' else room} {len(paths)}" for room, paths in rooms().items())
        sys.stdout.write(f"\nmodules per room: {sizes}\n")
    assert {room: len(paths) for room, paths in rooms().items() if len(paths) > LARGEST_ROOM} == {}


@pytest.mark.parametrize("room", [room for room in rooms() if room not in (".", "config/recipes")])
def test_a_room_says_what_lives_there_what_enters_and_what_leaves(room):
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
    if "/" not in room:
        assert len(re.findall(r"[.;](?:\s|$)", text)) >= 2, text
        assert "enter" in text
        assert "leave" in text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_has_its_test(path):
    if path.name not in ("__init__.py", "__main__.py"):
        assert (TESTS / path.relative_to(PACKAGE).with_name(f"test_{path.name}")).is_file()


# ── conventions ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["IGNORE", "BACKGROUND"])
def test_pixel_conventions_are_defined_once(name):
    pattern = re.compile(rf"^{name}\b[^=\n]*=", re.MULTILINE)
    assert [path.name for path in MODULES if pattern.search(path.read_text())] == ["conventions.py"]


def settings_classes() -> list[type[Config]]:
    return [value for value in vars(config).values() if isinstance(value, type) and issubclass(value, Config)]


SELF_EXPLAINING = {"kind", "name", "train_split", "ignore_value", "optimizer", "schedule", "batch_norm"}


@pytest.mark.parametrize("model", settings_classes(), ids=lambda model: model.__name__)
def test_settings_are_frozen_refuse_unknown_keys_and_come_with_a_sentence(model):
    assert model.model_config["frozen"]
    assert model.model_config["extra"] == "forbid"
    fields = {name: field for name, field in model.model_fields.items() if not models_of(field)}
    assert {name for name, field in fields.items() if not field.description} <= SELF_EXPLAINING


# ── the command line answers at once ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("doctor", "--help"), ("recipes",)])
def test_help_needs_no_heavy_package(arguments):
    assert heavy_imports(call_cli(*arguments)) == []


def test_a_typing_error_does_not_wait_for_heavy_packages():
    assert heavy_imports(call_cli("run", "tyo", "--out", "nowhere")) == []


def test_the_import_check_can_fail():
    assert heavy_imports("import numpy") == ["numpy"]


def test_numpy_modules_need_no_torch():
    modules = ("data.images", "system.storage", "masks.scores", "masks.crf", "scoring.metrics", "stages.table")
    code = "\n".join(f"import tagmask.{module}" for module in modules)
    assert "torch" not in heavy_imports(code)
