"""Several recipes on the same data and budget: which runs belong to a comparison.

Each run is an ordinary run folder, ``OUT/RECIPE/seed-0`` and so on, made by ``tagmask run``.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tagmask.config import Recipe
from tagmask.config.recipes import changed_recipe, load_recipe
from tagmask.contracts import Dataset, Record
from tagmask.conventions import Equal, Goal
from tagmask.data.datasets import open_dataset, score_records
from tagmask.errors import TagmaskError
from tagmask.scoring.scores_file import digest_of_all, is_older, read_scores
from tagmask.scoring.table import MASK_SCORES, SCORES
from tagmask.stages.checks import check_saliency
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.table import reaches

CEILING = "-ceiling"
"""What stands behind the name of a recipe whose network learns from ground truth."""


def is_ceiling(recipe: Recipe) -> bool:
    """Whether a recipe is another one whose network learns from ground truth."""
    return recipe.name.endswith(CEILING)


# What a run must have finished before it counts as finished.
_LAST_STAGES: dict[Goal, tuple[str, ...]] = {
    "seed": ("make-maps", "make-seed-maps"),
    "mask": ("make-masks",),
    "prediction": ("predict",),
}


@dataclass(frozen=True)
class Scored:
    """The images with ground truth that a recipe is scored on."""

    training: tuple[Record, ...]
    validation: tuple[Record, ...]

    def results(self, folder: RunFolder, goal: Goal) -> Iterator[Path]:
        """What a run to a goal has written of them and is scored."""
        yield from (folder.maps(record.id) for record in self.training)
        if reaches(goal, "mask"):
            yield from (folder.mask(record.id) for record in self.training)
        if reaches(goal, "prediction"):
            yield from (folder.prediction(record.id) for record in self.validation)

    def truth(self, dataset: Dataset) -> dict[str, int]:
        """The digest of the ground truth behind each score of masks."""
        training, validation = digest_of_all(dataset, self.training), digest_of_all(dataset, self.validation)
        return {kind.key: validation if kind.key == "prediction" else training for kind in MASK_SCORES}


@dataclass(frozen=True)
class Competitor:
    """One recipe of a comparison.

    Attributes:
        argument: as it was named on the command line.
        recipe: with the settings of the comparison and seed 0.
        dataset: the data as this recipe sees them.
        wanted: scores that a finished run must have.
        scored: training and validation images with ground truth, on which it is scored.
        truth: digests of their ground truth.
        settings: changes to this recipe alone: what makes it a ceiling, and its part of an equal budget.
    """

    argument: str
    recipe: Recipe
    dataset: Dataset
    wanted: frozenset[str]
    scored: Scored
    truth: Mapping[str, int]
    settings: tuple[str, ...] = ()

    @property
    def is_ceiling(self) -> bool:
        """Whether its network learns from ground truth."""
        return is_ceiling(self.recipe)

    @property
    def name(self) -> str:
        """The recipe's own name, which is also that of its folder."""
        return self.recipe.name


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison: a recipe with a seed, in a folder."""

    competitor: Competitor
    seed: int
    folder: RunFolder

    @property
    def log(self) -> Path:
        """What the run's process prints."""
        return self.folder.path.with_name(f"{self.folder.path.name}.log")

    def __str__(self) -> str:
        return f"{self.competitor.name}, seed {self.seed}"


@dataclass(frozen=True)
class SharedBudget:
    """What the trainings of all recipes have as much of as those of the first one.

    Attributes:
        equal: steps or seconds; None: each has its own.
        changes: to the settings of each recipe, by its name in the command line.
    """

    equal: Equal | None = None
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


OWN_BUDGETS = SharedBudget()


@dataclass(frozen=True)
class Comparison:
    """Recipes, seeds and settings that share data and budget.

    Attributes:
        competitors: the recipes, the first of which the others are measured against.
        seeds: of every recipe.
        data: the data folder; None for data that are drawn.
        out: folder of all runs and of the results.
        goal: how far the runs go.
        settings: changes to every recipe.
        dataset: the data as the first recipe sees them.
        equal: what the trainings of all recipes were given as much of as those of the first; None: nothing was.
    """

    competitors: tuple[Competitor, ...]
    seeds: tuple[int, ...]
    data: Path | None
    out: Path
    goal: Goal
    settings: tuple[str, ...]
    dataset: Dataset
    equal: Equal | None = None

    @property
    def runs(self) -> list[PlannedRun]:
        """All runs, recipe by recipe."""
        return [self.planned(competitor, seed) for competitor in self.competitors for seed in self.seeds]

    @property
    def unfinished(self) -> list[PlannedRun]:
        """The runs that are to be made or continued."""
        return [run for run in self.runs if not self.is_finished(run)]

    def planned(self, competitor: Competitor, seed: int) -> PlannedRun:
        """One of the runs."""
        return PlannedRun(competitor, seed, RunFolder(self.out / competitor.name / f"seed-{seed}"))

    def is_finished(self, run: PlannedRun) -> bool:
        """Whether a run has gone as far as it should, and is scored by the ground truth and the results of today."""
        results = run.competitor.scored.results(run.folder, self.goal)
        return self.has_scores(run) and not is_older(run.folder.scores, results)

    def has_scores(self, run: PlannedRun) -> bool:
        """Whether a run has gone as far as it should, and has its scores by the ground truth of today."""
        folder, wanted = run.folder, run.competitor.wanted
        if not any(folder.is_done(stage) for stage in _LAST_STAGES[self.goal]) or not folder.scores.exists():
            return False
        scores = read_scores(folder)
        truth = {key: digest for key, digest in run.competitor.truth.items() if key in wanted}
        return wanted <= scores.keys() and all(scores[key].get("truth") == digest for key, digest in truth.items())

    def command(self, run: PlannedRun) -> list[str]:
        """The words of the command that makes or continues a run."""
        words = ["tagmask", "run", run.competitor.argument, "--out", str(run.folder.path)]
        return [*words, *self._options(*run.competitor.settings, f"seed={run.seed}")]

    @property
    def whole_command(self) -> list[str]:
        """The words of the command that makes or continues all runs."""
        named = [competitor for competitor in self.competitors if not competitor.is_ceiling]
        words = ["tagmask", "compare", *(competitor.argument for competitor in named)]
        ceiling = ["--ceiling"] * (len(named) < len(self.competitors))
        equal = [] if self.equal is None else ["--equal", self.equal]
        return [*words, "--out", str(self.out), "--seeds", str(len(self.seeds)), *ceiling, *equal, *self._options()]

    def _options(self, *more: str) -> list[str]:
        where = [] if self.data is None else ["--data", str(self.data)]
        return [*where, "--until", self.goal, *(word for s in (*self.settings, *more) for word in ("--set", s))]


# ── before the first training ────────────────────────────────────────────────────────────────────────────────────────


def plan(
    arguments: Sequence[str],
    data: Path | None,
    out: Path,
    num_seeds: int,
    goal: Goal,
    settings: Sequence[str],
    ceiling: bool = False,
    budget: SharedBudget = OWN_BUDGETS,
) -> Comparison:
    """Check all recipes, the data and the folders of all runs, and claim the folders.

    Args:
        arguments: recipes, as for ``load_recipe``; the first is the one that the others are measured against.
        data: data folder.
        out: folder of all runs.
        num_seeds: seeds 0, 1, ... of each recipe.
        goal: how far the runs go.
        settings: changes to every recipe.
        ceiling: whether the network of each recipe is trained a second time, on ground truth.
        budget: what all trainings have as much of.

    Raises:
        TagmaskError: anything that would keep a run from ending, or its scores from being compared.
    """
    if any(setting.partition("=")[0].strip() == "seed" for setting in settings):
        raise TagmaskError("a comparison sets the seeds itself; say how many with --seeds and leave out --set seed=...")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TagmaskError("`tagmask compare` starts a process for each run; call it without accelerate or torchrun.")
    if ceiling and goal != "prediction":
        raise TagmaskError(f"--ceiling compares segmentation networks, and runs --until {goal} have none")
    own = [budget.changes.get(argument, ()) for argument in arguments]
    recipes = [load_recipe(name, [*settings, *more, "seed=0"]) for name, more in zip(arguments, own, strict=True)]
    _check_names([recipe.name for recipe in recipes])
    if ceiling:
        named = [(f"name={recipe.name}{CEILING}", "segmenter.learn_from=masks") for recipe in recipes]
        recipes += [changed_recipe(recipe, each) for recipe, each in zip(recipes, named, strict=True)]
        own += [(*more, *each) for more, each in zip(own, named, strict=True)]
        arguments = [*arguments, *arguments]
    for recipe in recipes:
        check_saliency(recipe)
    opened = _opened(recipes, data)
    competitors = tuple(
        _competitor(argument, recipe, dataset, data, goal, each)
        for argument, recipe, dataset, each in zip(arguments, recipes, opened, own, strict=True)
    )
    seeds = tuple(range(num_seeds))
    comparison = Comparison(competitors, seeds, data, out, goal, tuple(settings), opened[0], budget.equal)
    for run in comparison.runs:
        recipe = run.competitor.recipe.model_copy(update={"seed": run.seed})
        run.folder.claim(recipe, data, run.competitor.dataset)
    return comparison


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TagmaskError(
            f"more than one recipe is named {', '.join(map(repr, twice))}; give each its own `name`, for example in a "
            "copy of the .yaml file, because its runs lie in a folder of that name."
        )
    wrong = [name for name in names if name in (".", "..") or "/" in name or "\\" in name]
    if wrong:
        raise TagmaskError(f"{wrong[0]!r} cannot be the name of a folder; give the recipe a `name` without slashes.")


def _opened(recipes: Sequence[Recipe], data: Path | None) -> list[Dataset]:
    """The data of each recipe; those that several recipes share are read and checked once."""
    opened: list[tuple[object, Dataset]] = []
    for recipe in recipes:
        known = [dataset for config, dataset in opened if config == recipe.data]
        opened.append((recipe.data, known[0] if known else open_dataset(recipe.data, data)))
    return [dataset for _, dataset in opened]


def _competitor(
    argument: str, recipe: Recipe, dataset: Dataset, data: Path | None, goal: Goal, settings: tuple[str, ...]
) -> Competitor:
    validation = () if recipe.data.val_split is None else dataset.split(recipe.data.val_split)
    known = tuple(record for record in validation if record.has_mask)
    scored = Scored(score_records(dataset, recipe.data, data), known)
    wanted = _wanted(recipe, scored, bool(validation), goal)
    if is_ceiling(recipe) and not (
        scored.validation and any(r.has_mask for r in dataset.split(recipe.data.train_split))
    ):
        raise TagmaskError(
            f"--ceiling of {argument!r} needs ground truth of training images to learn from and of validation images "
            "to score on; name the folder of masks with data.masks"
        )
    return Competitor(argument, recipe, dataset, wanted, scored, scored.truth(dataset), settings)


def _wanted(recipe: Recipe, scored: Scored, has_validation: bool, goal: Goal) -> frozenset[str]:
    """The scores that a run has when it has ended.

    Raises:
        TagmaskError: it would have none.
    """
    wanted = {kind.key for kind in SCORES if kind.sure_from is not None and reaches(goal, kind.sure_from)}
    if not scored.validation:
        wanted -= {"prediction"}
    if not scored.training or recipe.segmenter.learn_from == "masks":
        wanted &= {"prediction"}
    if wanted:
        return frozenset(wanted)
    if has_validation and reaches(goal, "mask"):
        return frozenset({"tags"})  # what classifiers tell of images they have not learned from needs no mask
    raise TagmaskError(
        f"recipe {recipe.name!r}: no image has a ground-truth mask, so maps cannot be compared by a score. Name some "
        "with data.masks, or go on to --until mask with validation images: then the classifiers are compared by their "
        "tags, beside time, memory and pictures."
    )
