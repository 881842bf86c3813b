"""All that is looked at, in order: the reader's own checks, counts, every image, and the tags if a judge is named."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tagmask.config import AnyData
from tagmask.config.choice import Choice
from tagmask.contracts import Dataset
from tagmask.conventions import FEWEST_IMAGES
from tagmask.data.datasets import open_dataset
from tagmask.data.datasets.checks import LEFT_OUT
from tagmask.data.datasets.tagged_rows import EVERYWHERE, NOBODY_HELD_OUT
from tagmask.doctor.census import Census, take_census
from tagmask.doctor.class_findings import class_findings
from tagmask.doctor.expectation import Recommendation, expectation, recommended
from tagmask.doctor.findings import Finding, counted, in_order_of_severity
from tagmask.doctor.image_findings import Sizes, image_findings, sizes_of
from tagmask.doctor.looks import look_at_images
from tagmask.doctor.mask_findings import mask_findings
from tagmask.doctor.near_duplicates import Twins, find_twins
from tagmask.doctor.tags.doubtful import Doubt
from tagmask.doctor.tags.judge import Judge
from tagmask.errors import TagmaskError

SHORT = 6
"""Findings that the short form tells; the rest is counted."""


@dataclass(frozen=True)
class Examination:
    """What is known of some images.

    Attributes:
        data: the folder they lie in; None where they are drawn.
        name: of the data set.
        findings: the worst first.
        dataset: the images; None: they could not be read at all, and the rest is empty.
        census: how many there are of what.
        sizes: of the images.
        twins: pairs that show the same picture.
        doubts: tags that look wrong; None: nobody has judged them.
        expected: what to expect, a sentence each.
        recommendation: which recipe to take.
    """

    data: Path | None
    name: str
    findings: tuple[Finding, ...]
    dataset: Dataset | None = None
    census: Census | None = None
    sizes: Sizes | None = None
    twins: tuple[Twins, ...] = ()
    doubts: tuple[Doubt, ...] | None = None
    expected: tuple[str, ...] = ()
    recommendation: Recommendation | None = None

    @property
    def verdict(self) -> Literal["stop", "warn", "ready"]:
        """``stop``: a run would refuse the data; ``warn``: it would start, and suffer; ``ready``."""
        worst = self.findings[0].severity if self.findings else "note"
        return "ready" if worst == "note" else worst

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        warnings = sum(finding.severity == "warn" for finding in self.findings)
        return {
            "stop": "Stop: a run would refuse these data.",
            "warn": f"A run would start, with {counted(warnings, 'warning')}, to be read before you trust its results.",
            "ready": "Ready: nothing speaks against a run.",
        }[self.verdict]

    def exit_code(self, strict: bool = False) -> int:
        """For scripts: 0 a run can start, 1 it can but there are warnings and ``strict`` minds them, 2 it cannot."""
        return {"stop": 2, "warn": int(strict), "ready": 0}[self.verdict]


def examine(
    config: AnyData,
    data: Path | None,
    settings: Sequence[str] = (),
    judge: Judge | None = None,
    workers: int | None = None,
    recipe: str | None = None,
    layout: Choice | None = None,
) -> Examination:
    """Look at everything.

    Args:
        config: how the data are laid out.
        data: the folder; None for drawn scenes.
        settings: others than those of the data, for the command that is recommended.
        judge: who judges the tags; None: nobody.
        workers: processes that read images; None: as many as help.
        recipe: that was asked for; None: the one that fits is recommended.
        layout: what was recognised of the way the data lie; None: nothing had to be.

    Raises:
        TagmaskError: the tags cannot be judged as asked. What is wrong with the data is a finding.
    """
    if judge is not None:
        judge.check()
    dataset, refused = _opened(config, data)
    recognised = () if layout is None else (_recognised(layout),)
    if dataset is None:
        return Examination(data, str(data), (*refused, *recognised))
    census = take_census(dataset, config.train_split, config.val_split)
    looks = look_at_images(dataset, dataset.records, workers)
    twins = find_twins(dataset.records, looks, config.train_split)
    readable = {look.id for look in looks if look.size is not None}
    doubts, judged = judge.doubts(dataset, census, readable, twins, workers) if judge else (None, ())
    sizes = sizes_of(looks)
    seen = image_findings(looks, dataset.skipped, twins, config.on_bad_image == "skip")
    unused = mask_findings(dataset, config, data)
    found = [*refused, *recognised, *_findings(dataset, census), *seen, *unused, *judged]
    return Examination(
        data, dataset.name, in_order_of_severity(found), dataset, census, sizes, tuple(twins), doubts,
        expectation(census, sizes, config), recommended(config, settings, recipe),
    )  # fmt: skip


def _opened(config: AnyData, data: Path | None) -> tuple[Dataset | None, tuple[Finding, ...]]:
    """The data set as a run would open it, else without its unreadable images and its masks, else none; and why."""
    try:
        return open_dataset(config, data), ()
    except TagmaskError as error:
        refused = (Finding("data-refused", "stop", str(error)),)
    try:
        return open_dataset(config.model_copy(update={"on_bad_image": "skip"}), data, verify=False), refused
    except TagmaskError:
        return None, refused


def _recognised(layout: Choice) -> Finding:
    return Finding(
        "layout-recognised",
        "note",
        f"How the data lie was recognised: {layout.reason}",
        do=f"It is as with --set {shlex.quote(layout.change)}; set data.kind or data.tags if it is not so.",
    )


def _findings(dataset: Dataset, census: Census) -> Iterator[Finding]:
    """What counts and the reader of the data say."""
    if census.training_images < FEWEST_IMAGES:
        yield Finding(
            "few-training-images",
            "stop",
            f"Of {counted(len(dataset.records), 'image')}, {census.training_images} is for training.",
            f"A run needs at least {FEWEST_IMAGES}, and dozens per class to learn anything.",
            "Add images, or change the splits (data.train_split, data.val_fraction, data.max_images).",
        )
    yield from class_findings(census)
    for note in dataset.notes:
        # What counts, and the look at images, tell of any data set.
        if not note.startswith((EVERYWHERE, NOBODY_HELD_OUT)) and LEFT_OUT not in note:
            yield Finding("data-note", "note", note)


def first_look(dataset: Dataset, config: AnyData, data: Path | None) -> list[str]:
    """The short form that a run begins with: what counts alone warn of, a line each.

    Args:
        dataset: the images, opened and checked.
        config: how they are laid out.
        data: their folder; None for drawn scenes.
    """
    census = take_census(dataset, config.train_split, config.val_split)
    warned = [each for each in in_order_of_severity(class_findings(census)) if each.severity == "warn"]
    if any(note.startswith(EVERYWHERE) for note in dataset.notes):
        warned = [each for each in warned if each.key != "class-everywhere"]
    lines = [f"warning: {each.what} {each.do}" for each in warned[:SHORT]]
    left = len(warned) - SHORT
    if left > 0:
        lines.append(f"and {counted(left, 'more warning')}")
    if lines and data is not None:
        lines.append(f"all that is to be said of the data: tagmask doctor {data}")
    return lines
