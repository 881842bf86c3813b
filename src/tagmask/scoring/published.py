"""What authors report for the published recipes, and runs of ours beside it."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tagmask.config import CocoData
from tagmask.config.recipes import load_recipe
from tagmask.contracts import Dataset
from tagmask.conventions import COCO_IMAGES, VOC_IMAGES
from tagmask.errors import TagmaskError
from tagmask.scoring.comparison_figures import SCORE_KEYS, RecipeFigures
from tagmask.scoring.comparison_table import shown, signed
from tagmask.scoring.spreads import CERTAINTY, Spread
from tagmask.scoring.table import WORDS


class Published(BaseModel):
    """What authors report.

    Attributes:
        paper: who, and where.
        scores: mean IoU in percent by the keys of ``scores.json``.
        note: how theirs came about, in a sentence or two.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    paper: str
    scores: dict[str, Annotated[float, Field(gt=1, lt=100)]]
    note: str


@cache
def published_scores() -> dict[str, Published]:
    """What is reported of each published recipe, by its name."""
    text = (files("tagmask.scoring") / "published.yaml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Published]).validate_python(yaml.safe_load(text))


def published(recipe: str) -> Published:
    """What is reported of a recipe.

    Raises:
        TagmaskError: nothing is.
    """
    known = published_scores()
    if recipe not in known:
        raise TagmaskError(
            f"{recipe!r} is no recipe of a paper, so there is nothing to reproduce; expected one of "
            f"{', '.join(known)}. `tagmask compare` runs any recipe with several seeds"
        )
    return known[recipe]


@dataclass(frozen=True)
class Reproduced:
    """A published score and ours.

    Attributes:
        score: its key.
        theirs: mean IoU in percent.
        ours: of the seeds, in [0, 1]; None: no run has it.
    """

    score: str
    theirs: float
    ours: Spread | None

    @property
    def lead(self) -> float | None:
        """Points of ours over theirs."""
        return None if self.ours is None else 100 * self.ours.mean - self.theirs

    @property
    def verdict(self) -> str:
        """Whether the published score could be the mean of such runs, as far as the seeds tell."""
        if self.ours is None or self.lead is None:
            return "not scored"
        if self.ours.reach is None:
            return "one run tells no deviation"
        if abs(self.lead) <= 100 * self.ours.reach:
            return f"within {CERTAINTY:.0%} of ours"
        return "higher than theirs" if self.lead > 0 else "lower than theirs"


def reproduced(figures: RecipeFigures, reported: Published) -> list[Reproduced]:
    """The published scores of a recipe beside ours, in the order of the table."""
    return [
        Reproduced(score, reported.scores[score], figures.scores.get(score))
        for score in SCORE_KEYS
        if score in reported.scores
    ]


def images_of(dataset: Dataset, train_split: str, val_split: str | None) -> tuple[int, int]:
    """How many images with a tag are trained on, and how many are for validation."""
    held_out = 0 if val_split is None else len(dataset.split(val_split))
    return sum(bool(record.tags) for record in dataset.split(train_split)), held_out


def images_of_paper(recipe: str) -> tuple[int, int]:
    """The same of the paper of a recipe."""
    data = load_recipe(recipe).data
    if isinstance(data, CocoData):
        splits = COCO_IMAGES[data.year]
        return splits["train"][1], splits["val"][0]
    return VOC_IMAGES["train_aug"], VOC_IMAGES["val"]


def reproduction_table(
    found: list[Reproduced], reported: Published, ours: tuple[int, int], theirs: tuple[int, int]
) -> str:
    """Theirs and ours as Markdown.

    Args:
        found: their scores beside ours.
        reported: what they say.
        ours: images of our runs, as ``images_of`` counts them.
        theirs: images of the paper.
    """
    head = f"| mean IoU (%) | {reported.paper} | ours | difference | |\n| --- | --: | --: | --: | --- |"
    cells = [
        (WORDS[e.score], f"{e.theirs:g}", shown(e.ours, 1, 100), "" if e.lead is None else signed(e.lead), e.verdict)
        for e in found
    ]
    rows = [f"| {' | '.join(each)} |" for each in cells]
    below = f"The middle column is the authors'. {reported.note}{_other_images(ours, theirs)}"
    return "\n".join([head, *rows, "", below])


def _other_images(ours: tuple[int, int], theirs: tuple[int, int]) -> str:
    if ours == theirs:
        return ""
    mine, published = (f"{training:,} images and were scored on up to {val:,}" for training, val in (ours, theirs))
    return f" These are other data: our runs learned from {mine}, theirs from {published}, so differences tell little."
