"""How the processes of a run share the work of a stage: which files are missing, who makes them, who trains."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from tagmask.config import CrfConfig, TrainingConfig, settings_of
from tagmask.contracts import Method, Record, Trainable
from tagmask.conventions import Goal
from tagmask.errors import TagmaskError
from tagmask.masks.crf import computes_on
from tagmask.networks.saved import save_weights
from tagmask.stages.checks import makes_saliency
from tagmask.stages.run import Run
from tagmask.stages.table import reaches, stage_named
from tagmask.system.interruption import stop_if_asked
from tagmask.system.processes import this_process
from tagmask.system.progress import track
from tagmask.system.storage import is_whole
from tagmask.system.workers import in_order
from tagmask.training import checkpoints, engine
from tagmask.training.samples import Samples

Result = TypeVar("Result")
FileOf = Callable[[str], Path]
Make = Callable[[Sequence[Record]], None]


@dataclass(frozen=True)
class EachImage:
    """What a stage does image by image: any process can do any of them, and what it writes depends on the image alone.

    Attributes:
        records: the images.
        paths: where the files of an image go.
        maker: looks whether all it needs is there, loads it, and returns what makes the files that some images lack.
        first: images that others wait for, as what is found on them once holds for all.
    """

    records: Sequence[Record]
    paths: tuple[FileOf, ...]
    maker: Callable[[], Make]
    first: Sequence[Record] = ()

    def files(self) -> Iterable[Path]:
        """The files of every image."""
        return files_of(self.records, *self.paths)


def is_finished(run: Run, stage: str, files: Iterable[Path] = ()) -> bool:
    """Whether a stage has nothing to do: noted as done, and all its files are there and whole.

    All processes get the same answer: none goes on before each has looked.
    """
    finished = run.folder.is_done(stage) and all(map(is_whole, files))
    this_process().wait_for_everyone()
    return finished


def forget(run: Run, stage: str, until: Goal = "prediction") -> list[str] | None:
    """Forget a stage and all that builds on it; no process goes on before that is done.

    Args:
        run: whose stage.
        stage: its name.
        until: how far the run goes now.

    Returns:
        Names of those that had begun, on the first process; None on the others.

    Raises:
        TagmaskError: there is no such stage, the recipe does without it, or the run would not make it again.
    """
    goal = stage_named(stage).goal
    if not reaches(until, goal):
        raise TagmaskError(f"--until {until} ends before stage {stage}, which would be forgotten and not made again")
    recipe = run.recipe
    needed = {
        "make-saliency": makes_saliency(recipe),
        "train-affinity": recipe.affinity is not None,
        "make-instances": recipe.instances is not None,
    }
    if not needed.get(stage, True):
        raise TagmaskError(f"the recipe of {run.folder.path} does without stage {stage}; there is nothing to redo")
    names = [each.name for each in run.folder.forget(stage)] if this_process().is_main_process else None
    this_process().wait_for_everyone()
    return names


def files_of(records: Iterable[Record], *paths: FileOf) -> Iterable[Path]:
    """The files of every record."""
    return (path(record.id) for record in records for path in paths)


def spread_evenly(records: Sequence[Record], count: int) -> list[Record]:
    """At most ``count`` records, evenly over the list, the first and the last among them."""
    if not records or not count:
        return []
    positions = np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int)
    return [records[i] for i in positions]


def missing(records: Iterable[Record], *paths: FileOf) -> list[Record]:
    """This process's share of the records that lack one of their files, or have a damaged one."""
    state = this_process()
    state.wait_for_everyone()
    left = [record for record in records if not all(is_whole(path(record.id)) for path in paths)]
    state.wait_for_everyone()
    return left[state.process_index :: state.num_processes]


def make_of_each(
    run: Run,
    maker: Callable[[Record], None],
    records: Sequence[Record],
    title: str,
    *paths: FileOf,
    device: str = "cpu",
) -> None:
    """Run ``maker``, which computes on ``device``, side by side on the records that lack one of their files."""
    left = missing(records, *paths)
    if left:
        made = side_by_side(maker, left, run.recipe.masks.workers, device)
        for _ in track(made, title, len(records), len(records) - len(left)):
            pass
    this_process().wait_for_everyone()


def crf_device(*crfs: CrfConfig | None) -> str:
    """Where a stage's dense CRF, if it has one, and what belongs to it computes."""
    device = str(this_process().device)
    return device if computes_on(device) and any(crf is not None for crf in crfs) else "cpu"


def side_by_side(
    function: Callable[[Record], Result], records: Sequence[Record], workers: int, device: str
) -> Iterator[Result]:
    """``function`` of each record, in order: by processes, or by threads where it computes on an accelerator.

    Worker processes cannot use the accelerator of the process they stem from, and each would need memory of its own
    there; threads can, and read and write files while others compute.
    """
    return in_order(function, records, workers) if device == "cpu" else _in_threads(function, records, workers)


def _in_threads(function: Callable[[Record], Result], records: Sequence[Record], workers: int) -> Iterator[Result]:
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        for result in pool.map(function, records):
            stop_if_asked()
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def train(
    run: Run,
    stage: str,
    network: Trainable,
    samples: Samples,
    config: TrainingConfig,
    last: Callable[[], None] = lambda: None,
) -> None:
    """Train, do what is to be done last (on the first process), write what is left, drop the checkpoints."""
    name = stage_named(stage).network
    assert name is not None
    engine.train(network, samples, config, seed=run.recipe.seed, folder=run.folder.path, stage=name)
    if this_process().is_main_process:
        last()
        recipe = json.dumps(settings_of(run.recipe, None))
        left = network.for_inference() if isinstance(network, Method) else network
        save_weights(run.folder.weights(name), left, {"recipe": recipe, "classes": json.dumps(run.dataset.classes)})
        checkpoints.drop(run.folder.path, name)
    this_process().wait_for_everyone()
