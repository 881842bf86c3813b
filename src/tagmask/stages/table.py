"""The stages of a run: one table for command line, pipeline, manifest, reports and comparisons. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass

from tagmask.conventions import Goal
from tagmask.errors import TagmaskError


@dataclass(frozen=True)
class Stage:
    """One stage. What it reads and writes are names in the run folder, folders with a closing slash.

    Attributes:
        name: in the manifest and, unless ``command`` says otherwise, on the command line.
        text: what it does, in a line.
        reads: results of earlier stages.
        writes: its results.
        goal: the nearest goal of a run that needs it.
        command: the command that carries it out.
        network: the network that it trains, if it does.
        is_per_image: whether many processes may share its images, or those of what comes before its training.
    """

    name: str
    text: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    goal: Goal
    command: str = ""
    network: str | None = None
    is_per_image: bool = False

    @property
    def has_command(self) -> bool:
        """Whether it is a command of its own."""
        return not self.command


STAGES: tuple[Stage, ...] = (
    Stage(
        "make-saliency",
        "Saliency maps of the training images, if the method learns from them.",
        reads=(),
        writes=("saliency/",),
        goal="seed",
        is_per_image=True,
    ),
    Stage(
        "train-method",
        "Train the classifier on tags.",
        reads=("saliency/",),
        writes=("method.safetensors",),
        goal="seed",
        network="method",
    ),
    Stage(
        "make-seed-maps",
        "Activation maps of the training images that score seeds, where a run goes no further.",
        reads=("method.safetensors",),
        writes=("maps/",),
        goal="seed",
        command="run --until seed",
    ),
    Stage(
        "make-maps",
        "Write activation maps of the training images.",
        reads=("method.safetensors",),
        writes=("maps/", "tags.json"),
        goal="mask",
        is_per_image=True,
    ),
    Stage(
        "train-affinity",
        "Train the affinity network on confident map labels.",
        reads=("maps/",),
        writes=("affinity_labels/", "affinity.safetensors"),
        goal="mask",
        network="affinity",
        is_per_image=True,
    ),
    Stage(
        "make-masks",
        "Random walk and CRF: from maps to pseudo masks.",
        reads=("maps/", "affinity.safetensors"),
        writes=("background.json", "walks/", "masks/", "confidence/", "quality.csv"),
        goal="mask",
        is_per_image=True,
    ),
    Stage(
        "make-instances",
        "Instance masks of the training images, if the recipe has `instances` (IRN).",
        reads=("maps/", "affinity.safetensors"),
        writes=("instances/", "instances.json"),
        goal="prediction",
        is_per_image=True,
    ),
    Stage(
        "train-segmenter",
        "Train the segmentation network and predict the validation images.",
        reads=("masks/", "method.safetensors"),
        writes=("segmenter.safetensors",),
        goal="prediction",
        network="segmenter",
    ),
    Stage(
        "predict",
        "Masks of the validation images by the trained network, without their tags.",
        reads=("segmenter.safetensors",),
        writes=("predictions/",),
        goal="prediction",
        command="train-segmenter",
    ),
    Stage(
        "revise-masks",
        "Pseudo masks where the network agrees with the scores behind them, if the recipe has a revision.",
        reads=("masks/", "maps/", "segmenter.safetensors"),
        writes=("revised/",),
        goal="prediction",
        command="train-segmenter",
    ),
)

_GOALS: tuple[Goal, ...] = ("seed", "mask", "prediction")


def stage_named(name: str) -> Stage:
    """The stage of a name.

    Raises:
        TagmaskError: there is none.
    """
    found = next((stage for stage in STAGES if stage.name == name), None)
    if found is None:
        raise TagmaskError(f"no stage {name!r}; the stages are {', '.join(stage.name for stage in STAGES)}.")
    return found


def following(name: str) -> tuple[Stage, ...]:
    """A stage and all that build on what it writes, in order.

    Example:
        >>> [stage.name for stage in following("make-masks")]
        ['make-masks', 'train-segmenter', 'predict', 'revise-masks']
    """
    chosen = [stage_named(name)]
    for stage in STAGES[STAGES.index(chosen[0]) + 1 :]:
        written = {result for each in chosen for result in each.writes}
        if written & set(stage.reads):
            chosen.append(stage)
    return tuple(chosen)


def reaches(goal: Goal, other: Goal) -> bool:
    """Whether a run to a goal passes another one, or ends there."""
    return _GOALS.index(goal) >= _GOALS.index(other)


def beyond(goal: Goal) -> tuple[Stage, ...]:
    """The stages that a run to a goal does without."""
    return tuple(stage for stage in STAGES if not reaches(goal, stage.goal))


def in_order(names: Iterable[str]) -> list[str]:
    """Names of stages in the order of the pipeline."""
    known = [stage.name for stage in STAGES]
    return sorted(names, key=lambda name: known.index(name) if name in known else len(known))
