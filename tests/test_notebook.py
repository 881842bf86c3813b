"""The notebook of the pages: it was executed, names no machine, is small, and still runs from top to bottom."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_docs import FORBIDDEN, NOTEBOOKS, ROOT, check_command, foreign_imports, ids

LARGEST = 400_000  # bytes
NEEDED = ("nbclient", "nbformat", "ipykernel", "onnx", "onnxruntime", "onnxscript")
OPEN_FILES = 4096
PLACES = re.compile(r"(?:^|[\s\"'(=])/(?:home|root|tmp|var|usr|opt|Users|private|work)/|[A-Z]:\\\\")

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path, "code")]


def test_it_was_executed_in_order_without_an_error(path: Path) -> None:
    executed = cells(path, "code")
    assert [cell["execution_count"] for cell in executed] == list(range(1, len(executed) + 1))
    outputs = [output for cell in executed for output in cell["outputs"]]
    assert outputs
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert "error:" not in json.dumps(outputs)


def test_it_is_small_and_names_neither_machine_nor_workplace(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) <= LARGEST
    without_pictures = re.sub(r"data:image/\w+;base64,[A-Za-z0-9+/=]+|\"image/png\": \"[^\"]*\"", "", text)
    assert PLACES.findall(without_pictures) == []
    assert [word for word in FORBIDDEN if word in without_pictures.lower()] == []


def test_its_commands_parse_and_its_imports_are_public(path: Path) -> None:
    commands = [cell[1:].replace("\\\n", " ") for cell in code(path) if cell.startswith("!tagmask")]
    assert len(commands) == 3
    for command in commands:
        check_command(command)
    assert foreign_imports("\n".join(code(path))) == []


def test_its_links_lead_somewhere(path: Path) -> None:
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", text)
    assert targets
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.fixture
def few_open_files() -> Iterator[None]:
    """A kernel closes every file that may be open before each command: where a billion may be, that takes minutes."""
    resource = pytest.importorskip("resource", reason="the commands of a notebook need a system like Linux or macOS")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, soft) if soft > 0 else OPEN_FILES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.usefixtures("few_open_files")
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed: the development group has it")
    import nbclient  # noqa: PLC0415 - not everybody has them
    import nbformat  # noqa: PLC0415

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:  # whether it runs does not hang on how well the network has learned
        cell.source = re.sub(r"steps=\d+", "steps=3", cell.source)
    nbclient.NotebookClient(book, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "\n".join(output.get("text", "") for cell in book.cells for output in cell.get("outputs", []))
    assert "error:" not in printed  # a command that fails does not stop a notebook
    assert (tmp_path / "scenes-onnx" / "network.onnx").is_file()
    assert len(list((tmp_path / "new").glob("*.png.png"))) == 4
