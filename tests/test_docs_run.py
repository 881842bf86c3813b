"""The commands of the pages that people follow first are run, in order, on small images and with very few steps."""

import csv
import shlex
from pathlib import Path

import pytest
import typer.main
from PIL import Image

from shared_runs import SIZE, TINY, TRAININGS
from tagmask.cli import app
from tagmask.config.recipes import recipe_text
from tagmask.data.datasets import open_dataset
from test_docs import DOCS, README, blocks, ids

pytestmark = pytest.mark.slow

FOLLOWED = [README, *(DOCS / f"{name}.md" for name in ("first-run", "from-a-folder-to-masks", "recipes"))]
PLACES = ("garden", "street")
BEGINNINGS = ("run", "begin", "compare", "demo")  # these take settings of a new run

# What makes any recipe for photographs quick: no weights to fetch, small crops, four steps.
FOLDER = (
    *(setting for setting in TINY if not setting.startswith(("data.", "training.warmup", "walk"))),
    *("backbone.weights=none", "walk.steps=4", "training.warmup_steps=0"),
    *(f"{name}.epochs=null" for name in TRAININGS),
)


def write_photographs(folder: Path) -> None:
    """Drawn scenes as JPEG files below two places, and the table of their tags."""
    data = open_toy()
    rows = []
    for number, record in enumerate(data.records):
        name = f"{PLACES[number % 2]}/{number:04}.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.read_image(record)).save(folder / name)
        rows.append({"image": name, "tags": ";".join(data.classes[tag] for tag in record.tags)})
    rows[1]["tags"] = ""  # a negative
    with (folder / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["image", "tags"])
        table.writeheader()
        table.writerows(rows)


def open_toy():
    """Twelve drawn scenes."""
    from shared_runs import tiny_recipe  # noqa: PLC0415 - beside its only use

    return open_dataset(tiny_recipe("data.num_train=12").data, None)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages take for granted: photographs, new photographs, and a recipe of one's own."""
    write_photographs(tmp_path / "photos")
    (tmp_path / "new_photos").mkdir()
    for number, record in enumerate(open_toy().records[:2]):
        Image.fromarray(open_toy().read_image(record)).save(tmp_path / "new_photos" / f"{number}.png")
    (tmp_path / "mine.yaml").write_text(recipe_text("folder-cpu-cam").replace("folder-cpu-cam", "mine"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def quickened(words: list[str]) -> list[str]:
    """The arguments of a command with settings before its own that make it quick; its own win."""
    if words[0] not in BEGINNINGS:
        return words
    drawn = words[0] == "demo" or any(word.startswith("toy") for word in words[1:])
    quick = [part for setting in (TINY if drawn else FOLDER) for part in ("--set", setting)]
    at = words.index("--set") if "--set" in words else len(words)
    return [*words[:at], *quick, *words[at:]]


def followed(page: Path) -> list[list[str]]:
    """The arguments of the calls of tagmask in the shell blocks of a page, in order."""
    lines = [line.strip() for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("tagmask ")]


@pytest.mark.parametrize("page", FOLLOWED, ids=ids)
def test_the_commands_of_a_page_work_one_after_another(page: Path, desk: Path) -> None:
    called = followed(page)
    assert called
    commands = typer.main.get_command(app).commands
    for name, *arguments in map(quickened, called):
        commands[name].main(arguments, standalone_mode=False)
    assert list(desk.glob("runs/*/manifest.json")) or list(desk.glob("runs/*/*/*/manifest.json"))


def test_settings_of_a_page_win() -> None:
    words = quickened(["run", "toy", "--out", "x", "--set", "data.num_train=9"])
    assert words[-1] == "data.num_train=9"
    assert f"data.size={SIZE}" in words
