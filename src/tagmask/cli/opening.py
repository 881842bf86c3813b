"""Runs as commands open them: said what was found, forgotten what is to be done again, scored at the end."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tagmask.cli.words import say, say_notes, show_table
from tagmask.conventions import Equal, Goal, default_run_folder
from tagmask.errors import TagmaskError

if TYPE_CHECKING:
    from tagmask.stages.run import Run


def begin_run(recipe: str, data: Path | None, out: Path, settings: list[str], budget: str | None = None) -> "Run":
    """Begin a run, or go on with it, and say what its data hold."""
    from tagmask.config.recipes import load_recipe  # noqa: PLC0415

    folder = _folder_to_look_at(recipe, data)
    if folder is not None:
        return _begin_automatic(folder, out, settings, budget)
    if budget is not None:
        raise TagmaskError("--budget goes with `auto`, or with a data folder in place of a recipe")
    checked = load_recipe(recipe, settings)
    # Only now: a typing error must not wait for torch.
    from tagmask.stages import run  # noqa: PLC0415

    begun = _with_notes(run.begin_run(checked, data, out))
    say(begun.found())
    _say_first_look(begun)
    return begun


def named_after(recipe: str) -> Path:
    """The folder of a run for which none was named, said aloud: of the recipe's name, or that of the data."""
    folder = default_run_folder(Path(recipe))
    say(f"run folder: {folder}")
    return folder


def with_auto_chosen(names: list[str], data: Path | None, out: Path, settings: list[str]) -> list[str]:
    """The recipes of a comparison, with a file of what fits the data in place of ``auto``; it is chosen once."""
    if "auto" not in names:
        return names
    from tagmask.system.lock import CLAIMS  # noqa: PLC0415
    from tagmask.system.shards.claims import waited_for  # noqa: PLC0415

    folder, file = _folder_to_look_at("auto", data), out / "auto.yaml"
    with waited_for(out / CLAIMS / "auto.json", "auto"):
        if not file.exists():
            _write_automatic(folder, settings, file)
    return [str(file) if name == "auto" else name for name in names]


def _write_automatic(folder: Path | None, settings: list[str], file: Path) -> None:
    """Choose what fits the data, aloud, and write it as a recipe."""
    import yaml  # noqa: PLC0415

    from tagmask.choosing.automatic import automatic  # noqa: PLC0415
    from tagmask.system.storage import write_bytes  # noqa: PLC0415

    found = automatic(folder, settings)
    for choice in found.choices:
        say(f"chosen for auto: {choice}")
    content = found.recipe.model_dump(mode="json") | {"name": "auto"}
    write_bytes(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def equal_budgets(
    names: list[str], data: Path | None, out: Path, settings: list[str], equal: Equal | None
) -> dict[str, tuple[str, ...]]:
    """What each recipe of a comparison changes so that all have as many steps or seconds as the first; said aloud."""
    if equal is None:
        return {}
    from tagmask.choosing.equal_budget import equal_budget  # noqa: PLC0415
    from tagmask.system.lock import CLAIMS  # noqa: PLC0415
    from tagmask.system.shards.claims import waited_for  # noqa: PLC0415

    with waited_for(out / CLAIMS / "budget.json", "budget"):
        budget = equal_budget(names, data, out, settings, equal)
    found = {name: budget.settings(name) for name in names}
    for name, changes in found.items():
        say(f"equal {equal}: {name} has {', '.join(changes)}")
    return found


def _folder_to_look_at(recipe: str, data: Path | None) -> Path | None:
    """The data folder for which a recipe is to be chosen; None: a recipe was named."""
    from tagmask.config.recipes import recipe_text, split_name  # noqa: PLC0415

    if recipe == "auto":
        if data is None:
            raise TagmaskError("auto looks at data before it chooses; name their folder: tagmask run FOLDER")
        return data
    named = Path(recipe)
    if named.is_dir():
        if data is None or data.resolve() == named.resolve():
            return named
        raise TagmaskError(f"{recipe} and --data {data} are two folders of data; name one of them")
    if data is None:
        try:
            recipe_text(split_name(recipe)[0])
        except TagmaskError as error:
            raise TagmaskError(f"there is no data folder {str(named.absolute())!r}. As a recipe: {error}") from error
    return None


def _begin_automatic(data: Path, out: Path, settings: list[str], budget: str | None) -> "Run":
    """Begin a run whose recipe is chosen, or go on with it as it was chosen."""
    if (out / "recipe.json").exists():
        if budget is not None:
            raise TagmaskError(f"{out} has begun, with the steps it has; leave out --budget, or choose another folder")
        return open_run(out, data, settings)
    from tagmask.choosing.automatic import automatic, measured, seconds_of, with_budget  # noqa: PLC0415
    from tagmask.stages import run  # noqa: PLC0415
    from tagmask.system.storage import write_json  # noqa: PLC0415

    seconds = None if budget is None else seconds_of(budget)
    found = automatic(data, settings)
    recipe, choices = found.recipe, list(found.choices)
    say(f"this machine: {found.machine}")
    for choice in choices:
        say(f"chosen: {choice}")
    planned, estimate = measured(recipe, data, out)
    say(f"estimate: {estimate}")
    if seconds is not None:
        by_hand = {setting.partition("=")[0].strip() for setting in settings}
        recipe, estimate, more = with_budget(planned, estimate, seconds, by_hand)
        choices += more
        for choice in more:
            say(f"chosen: {choice}")
        say(f"estimate: {estimate}")
    begun = _with_notes(run.begin_run(recipe, data, out))
    chosen = {
        "machine": str(found.machine),
        "choices": [vars(choice) for choice in choices],
        "estimate": {"seconds": estimate.seconds, "memory_mib": estimate.memory},
    }
    write_json(begun.folder.choices, chosen)
    say(begun.found())
    _say_first_look(begun)
    return begun


def _say_first_look(run: "Run") -> None:
    """The short form of what `tagmask doctor` says, without opening an image."""
    from tagmask.doctor.examination import first_look  # noqa: PLC0415
    from tagmask.system.processes import this_process  # noqa: PLC0415

    for line in first_look(run.dataset, run.recipe.data, run.data) if this_process().is_main_process else ():
        say(line)


def open_run(folder: Path, data: Path | None, settings: list[str], alone: bool = True, scores: bool = True) -> "Run":
    """Go on with a run from its folder; ``scores`` says whether it will be scored anew."""
    from tagmask.stages import run  # noqa: PLC0415

    return _with_notes(run.open_run(folder, data, settings, alone, scores))


def do_shard(folder: Path, data: Path | None, settings: list[str], stage: str, shard: str) -> None:
    """Do a shard of a stage, and say how far the stage is."""
    from tagmask.system.shards.shard import shard_named  # noqa: PLC0415

    named = shard_named(shard)
    # Only now: a typing error must not wait for torch.
    from tagmask.stages.pipeline import carry_out_shard  # noqa: PLC0415
    from tagmask.stages.run import open_shard  # noqa: PLC0415

    say(carry_out_shard(open_shard(folder, data, settings), stage, named))


def _with_notes(run: "Run") -> "Run":
    from tagmask.system.processes import this_process  # noqa: PLC0415

    if this_process().is_main_process:
        say_notes(run.dataset.notes)
    return run


def forget(run: "Run", stage: str | None, until: Goal = "prediction") -> None:
    """Forget a stage and all that builds on it, if one is named."""
    from tagmask.stages import sharing  # noqa: PLC0415

    if stage is not None and (names := sharing.forget(run, stage, until)) is not None:
        say(f"forgotten: {', '.join(names) or 'nothing, as none of it had begun'}")


def finish(run: "Run", until: Goal, redo: str | None) -> None:
    """Take a run as far as it shall go, and score it."""
    from tagmask.stages.pipeline import run_all  # noqa: PLC0415
    from tagmask.system.processes import this_process  # noqa: PLC0415

    forget(run, redo, until)
    run_all(run, until)
    evaluate(run)
    if until == "prediction" and this_process().is_main_process:
        folder = shlex.quote(str(run.folder.path))
        say(f"look at the masks and correct them: tagmask review {folder}")
        say(f"masks of other photographs: tagmask predict FOLDER --model {folder} --out MASKS")


def evaluate(opened: "Run") -> None:
    """Score a run, finished or not, and write its report."""
    from tagmask.system.processes import this_process  # noqa: PLC0415

    if not this_process().is_main_process:
        return
    from tagmask.report.run_report import evaluate_and_write  # noqa: PLC0415
    from tagmask.scoring import evaluation  # noqa: PLC0415

    scores, page = evaluate_and_write(opened)
    say_notes(evaluation.unfinished(opened))
    rows = [(name, f"{value:.1f}", protocol) for name, value, protocol in evaluation.summary(scores)]
    if rows:
        show_table((f"{opened.recipe.name} on {opened.dataset.name}", "%", "protocol"), rows)
    else:
        say("nothing to score: no image has a ground-truth mask (data.masks names them); see the report's pictures")
    say(f"report: {page}")
