import json
import os
import sys
import typing
from pathlib import Path

import pytest
import typer.main
from PIL import Image

from shared_runs import TINY
from tagmask import cli
from tagmask.config.recipes import recipe_text
from tagmask.errors import TagmaskError
from tagmask.scoring import comparison, comparison_runs
from tagmask.scoring.comparison import plan
from tagmask.stages.run_folder import RunFolder

SHORT = (*TINY, "training.steps=1", "affinity.training.steps=1", "segmenter.training.steps=1")


def planned(out, *names, seeds=1, goal="seed", settings=SHORT, data=None):
    return plan(names or ("toy", "toy-sipe"), data, out, seeds, goal, settings)


@pytest.fixture
def calls(monkeypatch):
    """Runs of a comparison in this process, which is quicker; which folders were worked on."""
    called: list[str] = []

    def call(command: list[str], log: Path) -> str | None:
        called.append(f"{log.parent.name}/{log.stem}")
        try:
            typer.main.get_command(cli.app).main(command[1:], standalone_mode=False)
        except TagmaskError as error:
            return str(error)
        return None

    monkeypatch.setattr(comparison_runs, "_call", call)
    return called


@pytest.fixture
def compare(monkeypatch, capsys):
    """The command: exit code and what it printed."""

    def call(*arguments: object, settings=SHORT) -> tuple[int, str]:
        changes = [word for setting in settings for word in ("--set", setting)]
        monkeypatch.setattr(sys, "argv", ["tagmask", "compare", *map(str, arguments), *changes])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


def read(path: Path) -> typing.Any:
    return json.loads(path.read_text())


# ── before the first training ────────────────────────────────────────────────────────────────────────────────────────


def test_every_recipe_has_a_run_for_every_seed_in_a_folder_of_its_own(tmp_path):
    runs = planned(tmp_path, "toy", "toy+ppc", seeds=2).runs
    folders = [run.folder.path.relative_to(tmp_path).as_posix() for run in runs]
    assert folders == ["toy/seed-0", "toy/seed-1", "toy+ppc/seed-0", "toy+ppc/seed-1"]
    assert [run.folder.recipe().seed for run in runs] == [0, 1, 0, 1]
    assert len({run.log for run in runs}) == 4


def test_a_run_of_a_comparison_is_an_ordinary_run(tmp_path):
    for folder, mode, colour in (("photos/cat", "RGB", (0, 9, 0)), ("photos/masks/cat", "L", 1)):
        (tmp_path / folder).mkdir(parents=True)
        Image.new(mode, (32, 32), colour).save(tmp_path / folder / "1.png")
    settings = ("walk.beta=3", "data.tags=null", "data.masks=masks", "data.val_fraction=0")
    compared = planned(tmp_path, "folder-cpu", goal="mask", settings=settings, data=tmp_path / "photos")
    words = compared.command(compared.runs[0])
    assert words[:5] == ["tagmask", "run", "folder-cpu", "--out", str(tmp_path / "folder-cpu" / "seed-0")]
    assert words[5:9] == ["--data", str(tmp_path / "photos"), "--until", "mask"]
    assert words[9:11] == ["--set", "walk.beta=3"]
    assert words[-2:] == ["--set", "seed=0"]
    context = typer.main.get_command(cli.app).commands["run"].make_context("run", words[2:])
    assert context.params["until"] == "mask"


def test_a_recipe_of_ones_own_takes_part(tmp_path):
    text = recipe_text("toy")
    (tmp_path / "mine.yaml").write_text(text.replace("name: toy", "name: mine"))
    runs = planned(tmp_path / "out", "toy", str(tmp_path / "mine.yaml")).runs
    assert [run.competitor.name for run in runs] == ["toy", "mine"]


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (("toy", "toy"), SHORT, "more than one recipe is named 'toy'"),
        (("toy", "toi"), SHORT, "no recipe 'toi'"),
        (("toy",), ("training.rat=1",), "did you mean 'rate'"),
        (("toy",), ("seed=4",), "--seeds"),
        (("toy",), ("name=a/b",), "'a/b' cannot be the name of a folder"),
        (("toy", "folder-cpu"), (), "--data"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(tmp_path, names, settings, message):
    with pytest.raises(TagmaskError, match=message):
        planned(tmp_path / "out", *names, settings=settings)
    assert not (tmp_path / "out").exists()


def test_a_method_without_its_saliency_is_refused_at_once(tmp_path):
    with pytest.raises(TagmaskError, match="built-in"):
        planned(tmp_path / "out", "toy", settings=('method={"kind": "eps"}', "data.saliency=null"))
    assert not (tmp_path / "out").exists()


def test_data_without_masks_have_nothing_to_compare_by(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "score_records", lambda *_: ())
    with pytest.raises(TagmaskError, match=r"no image has a ground-truth mask.*data\.masks"):
        planned(tmp_path)
    wanted = planned(tmp_path, goal="prediction").competitors[0].wanted
    assert wanted == {"prediction"}  # validation images have masks


def test_a_folder_of_other_settings_is_refused_before_any_run_begins(tmp_path, calls, compare):
    other = planned(tmp_path, "toy-sipe", settings=(*SHORT, "training.rate=0.5"))
    other.runs[0].folder.weights("method").write_bytes(b"1")  # it has learned something
    code, text = compare("toy", "toy-sipe", "--until", "seed", "--out", tmp_path)
    assert code == 2
    assert "training.rate" in text
    assert calls == []


def test_without_masks_classifiers_are_compared_by_tags_if_runs_go_that_far(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", (32, 32), (40 * i, 9, 0)).save(folder / f"{i}.png")
    rows = [f"{i}.png,{'cat' if i % 2 else 'dog'},{'val' if i > 3 else 'train'}" for i in range(6)]
    (folder / "tags.csv").write_text("\n".join(["image,tags,split", *rows]))
    compared = planned(tmp_path / "out", "folder-cpu-cam", goal="mask", settings=(), data=folder)
    assert compared.competitors[0].wanted == {"tags"}
    with pytest.raises(TagmaskError, match=r"no image has a ground-truth mask.*data\.masks.*--until mask"):
        planned(tmp_path / "seeds", "folder-cpu-cam", goal="seed", settings=(), data=folder)


def test_it_wants_to_start_its_processes_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TagmaskError, match="without accelerate"):
        planned(tmp_path)


def test_the_whole_command_parses(tmp_path):
    words = planned(tmp_path, "toy", "toy+ppc", seeds=3).whole_command
    context = typer.main.get_command(cli.app).commands["compare"].make_context("compare", words[2:])
    assert list(context.params["names"]) == ["toy", "toy+ppc"]
    assert (context.params["seeds"], context.params["until"], context.params["out"]) == (3, "seed", tmp_path)


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_seeds_of_two_recipes_and_what_is_done_is_not_repeated(tmp_path, calls, compare):
    arguments = ("toy", "toy-sipe", "--seeds", 2, "--until", "seed", "--out", tmp_path)
    code, text = compare(*arguments)
    assert code == 0, text
    assert calls == ["toy/seed-0", "toy/seed-1", "toy-sipe/seed-0", "toy-sipe/seed-1"]
    for name in ("json", "csv", "md", "html"):
        assert (tmp_path / f"comparison.{name}").stat().st_size > 0
    first = read(tmp_path / "comparison.json")
    assert first["recipes"][1]["scores"]["seed_own"]["count"] == 2
    assert "seed_own" not in first["recipes"][0]["scores"]
    assert not (tmp_path / "toy" / "seed-0" / "masks").exists()

    calls.clear()
    (tmp_path / "toy" / "seed-1" / "scores.json").unlink()
    weights = (tmp_path / "toy" / "seed-1" / "method.safetensors").read_bytes()
    assert compare(*arguments)[0] == 0
    assert calls == ["toy/seed-1"]
    assert (tmp_path / "toy" / "seed-1" / "method.safetensors").read_bytes() == weights
    again = read(tmp_path / "comparison.json")
    for now, before in zip(again["recipes"], first["recipes"], strict=True):
        assert now["scores"] == before["scores"]


@pytest.fixture
def photographs(tmp_path):
    """Four photographs in two colours, with masks in which the left half is the class."""
    folder = tmp_path / "photos"
    (folder / "masks").mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (32, 32), (200 * (i % 2), 40 * i, 9)).save(folder / f"{i}.png")
        mask = Image.new("L", (32, 32), 0)
        mask.paste(1 + i % 2, (0, 0, 16, 32))
        mask.save(folder / "masks" / f"{i}.png")
    rows = [f"{i}.png,{'dog' if i % 2 else 'cat'}" for i in range(4)]
    (folder / "tags.csv").write_text("\n".join(["image,tags", *rows]))
    return folder


def test_runs_are_scored_again_after_a_ground_truth_mask_or_a_result_has_changed(tmp_path, photographs, calls, compare):
    tiny = ('backbone={"kind": "timm", "model": "test_resnet", "weights": "none"}', "training.steps=1")
    size = ("training.augment={crop: 32}", "training.batch_size=2", "training.epochs=null", "maps.scales=[1]")
    settings = (*tiny, *size, "method={kind: cam}", "data.val_fraction=0", "data.masks=masks")
    arguments = ("folder-cpu", "--until", "seed", "--data", photographs, "--out", tmp_path / "out")
    code, text = compare(*arguments, settings=settings)
    assert code == 0, text
    before = read(tmp_path / "out" / "comparison.json")["recipes"][0]["scores"]["seed_best"]["mean"]
    calls.clear()
    code, text = compare(*arguments, settings=settings)
    assert (code, calls) == (0, []), text

    for i in range(4):  # the whole image is of the class now
        Image.new("L", (32, 32), 1 + i % 2).save(photographs / "masks" / f"{i}.png")
    code, text = compare(*arguments, settings=settings)
    assert (code, calls) == (0, ["folder-cpu/seed-0"])
    after = read(tmp_path / "out" / "comparison.json")["recipes"][0]["scores"]["seed_best"]["mean"]
    assert after != before

    calls.clear()
    maps = next((tmp_path / "out" / "folder-cpu" / "seed-0" / "maps").glob("*.npz"))
    later = (tmp_path / "out" / "folder-cpu" / "seed-0" / "scores.json").stat().st_mtime_ns + 10**6
    os.utime(maps, ns=(later, later))
    code, text = compare(*arguments, settings=settings)
    assert code == 0, text
    assert calls == ["folder-cpu/seed-0"]


def test_a_comparison_of_seeds_can_be_taken_further(tmp_path, calls, compare):
    folder = RunFolder(tmp_path / "toy" / "seed-0")
    assert compare("toy", "--until", "seed", "--out", tmp_path)[0] == 0
    assert compare("toy", "--until", "mask", "--out", tmp_path)[0] == 0
    assert folder.is_done("make-masks")
    assert not folder.is_done("train-segmenter")
    code, text = compare("toy", "--out", tmp_path)
    assert code == 0, text
    assert calls == ["toy/seed-0"] * 3
    found = read(tmp_path / "comparison.json")["recipes"][0]
    assert found["scores"].keys() == {"tags", "seed_best", "seed_fixed", "walk", "mask", "prediction"}
    assert {"make-seed-maps", "make-maps", "predict"} <= found["stages"].keys()
    assert found["memory"]["mean"] > 0
    assert found["gains"] == {}


def test_trainings_of_all_recipes_may_have_equal_steps(tmp_path, calls, compare):
    arguments = ("toy", "toy-sipe", "--until", "seed", "--out", tmp_path, "--equal", "steps")
    code, text = compare(*arguments, settings=[*SHORT, "training.steps=2"])
    assert code == 0, text
    assert "equal steps: toy-sipe has training.steps=2" in text
    assert "Each training has as many steps as that of toy." in (tmp_path / "comparison.md").read_text()
    assert "--equal steps" in read(tmp_path / "comparison.json")["command"]
    assert compare(*arguments, settings=[*SHORT, "training.steps=2"])[0] == 0
    assert calls == ["toy/seed-0", "toy-sipe/seed-0"]
    code, text = compare(*arguments[:-1], "seconds", settings=[*SHORT, "training.steps=2"])
    assert code == 2
    assert "began with the steps of toy for all" in text


def test_one_failure_loses_no_other_run(tmp_path, calls, compare):
    text = recipe_text("toy")
    broken = text.replace("name: toy", "name: broken").replace("weights: none", "weights: nowhere.safetensors")
    (tmp_path / "broken.yaml").write_text(broken)
    code, text = compare(tmp_path / "broken.yaml", "toy", "--until", "seed", "--out", tmp_path / "out")
    assert code == 2
    assert "1 of 2 runs failed" in text
    assert "broken (0 of 1 runs)" in text
    recipes = read(tmp_path / "out" / "comparison.json")["recipes"]
    assert [recipe["runs"][0]["finished"] for recipe in recipes] == [False, True]
    assert "nowhere.safetensors" in recipes[0]["runs"][0]["error"]
    assert recipes[0]["scores"] == {}
    assert recipes[1]["gains"] == {}
    assert "broken/seed-0 is missing" in (tmp_path / "out" / "comparison.html").read_text()


# ── the ceiling ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_recipe_has_a_ceiling_whose_network_learns_from_ground_truth(tmp_path, calls, compare):
    code, text = compare("toy", "--ceiling", "--out", tmp_path)
    assert code == 0, text
    assert calls == ["toy/seed-0", "toy-ceiling/seed-0"]
    found = read(tmp_path / "comparison.json")
    plain, ceiling = found["recipes"]
    assert f"--out {tmp_path} --seeds 1 --ceiling --until prediction --set {SHORT[0]}" in found["command"]
    share = plain["scores"]["prediction"]["mean"] / ceiling["scores"]["prediction"]["mean"]
    assert plain["of_ceiling"]["mean"] == pytest.approx(share)
    assert ceiling["of_ceiling"] is None
    assert ceiling["scores"].keys() == {"prediction"}
    assert "of its ceiling (%)" in (tmp_path / "comparison.md").read_text()
    assert "learned from" in ceiling["runs"][0]["protocols"]["prediction"]
    calls.clear()
    assert compare("toy", "--ceiling", "--out", tmp_path)[0] == 0
    assert calls == []


def test_a_ceiling_needs_networks_and_ground_truth(tmp_path):
    with pytest.raises(TagmaskError, match="--until seed have none"):
        plan(("toy",), None, tmp_path, 1, "seed", SHORT, ceiling=True)
    for i in range(6):
        Image.new("RGB", (32, 32), (40 * i, 9, 0)).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{'cat' if i % 2 else 'dog'},{'val' if i > 3 else 'train'}" for i in range(6)]
    (tmp_path / "tags.csv").write_text("\n".join(["image,tags,split", *rows]))
    with pytest.raises(TagmaskError, match=r"--ceiling of 'folder-cpu' needs ground truth.*data\.masks"):
        plan(("folder-cpu",), tmp_path, tmp_path / "out", 1, "prediction", (), ceiling=True)
