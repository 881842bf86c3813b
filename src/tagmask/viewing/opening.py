"""Runs opened for looking: no file of the folder is written, none of it is locked, and another call may work in it."""

from pathlib import Path

from tagmask.config import Recipe
from tagmask.data.datasets import open_dataset
from tagmask.data.datasets.contents import contents
from tagmask.errors import TagmaskError
from tagmask.stages.run import Run
from tagmask.stages.run_folder import RunFolder


def found_run(folder: Path) -> RunFolder:
    """The layout of a folder that holds a run.

    Raises:
        TagmaskError: there is no such folder, or it holds no run.
    """
    if RunFolder(folder).is_begun:
        return RunFolder(folder)
    if not folder.is_dir():
        raise TagmaskError(f"there is no folder {str(folder)!r} in {Path.cwd()}; {_runs_beside(folder)}")
    if (folder / "settings.json").exists():
        raise TagmaskError(f"{folder} is an export, not a run; tagmask.load({str(folder)!r}) makes masks with it")
    raise TagmaskError(f"{folder} holds no run (no recipe.json); {_runs_beside(folder / 'any')}")


def _runs_beside(folder: Path) -> str:
    """The runs that lie where one was looked for, or how to make one."""
    if not folder.parent.is_dir():
        return f"give one that `tagmask run` wrote: there is no {str(folder.parent)!r} there either"
    found = sorted(str(path) for path in folder.parent.iterdir() if RunFolder(path).is_begun)
    shown = ", ".join(map(repr, found[:5]))
    return f"runs there: {shown}" if found else "give one that `tagmask run` wrote"


def opened(folder: RunFolder, recipe: Recipe, data: Path | None) -> Run:
    """A run with its photographs, which are not read yet.

    Raises:
        TagmaskError: the data are gone or unreadable, or have other classes, images or tags than those of the run.
    """
    if data is not None and not data.exists():
        raise TagmaskError(
            f"the photographs of {folder.path} lay in {str(data)!r}, where nothing is now; "
            f"tagmask.Run({str(folder.path)!r}, data=FOLDER) says where they are"
        )
    dataset = open_dataset(recipe.data, data)
    folder.check_data(contents(dataset, pixels=False))
    return Run(recipe, folder, dataset, data)
