"""Who judges the tags: classifiers learned fold by fold, and a run's classifier on what it has not learned from."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from tagmask.config import AnyBackbone
from tagmask.contracts import Dataset, Record
from tagmask.doctor.census import Census, tag_matrix
from tagmask.doctor.findings import Finding
from tagmask.doctor.near_duplicates import Twins, groups
from tagmask.doctor.tags.doubtful import Doubt, doubt_finding, find_doubts, require_cleanlab
from tagmask.doctor.tags.judge import Judge
from tagmask.doctor.tags.out_of_fold import FEWEST, FOLDS, check_backbone, features_of, judge
from tagmask.errors import TagmaskError
from tagmask.stages.run_folder import RunFolder
from tagmask.system.storage import read_json

FEWEST_OF_RUN = 2
"""Validation images with a class, and without it, below which a run's word on it is not taken."""


@dataclass(frozen=True)
class TagCheck(Judge):
    """Judges by a pretrained backbone, and by a run if there is one.

    Attributes:
        backbone: classifiers are learned on it fold by fold: of training and validation images, or, with a run, of
            training images alone.
        run: its classifier has judged its validation images when it made its maps. If its backbone has started from
            random numbers, these alone are judged.
    """

    backbone: AnyBackbone
    run: RunFolder | None = None

    def check(self) -> None:
        """Find out, before any work, whether it can be done.

        Raises:
            TagmaskError: cleanlab is not installed, the weights cannot be had, or the run has judged nothing yet.
        """
        require_cleanlab()
        if self.run is None or self.backbone.weights != "none":
            check_backbone(self.backbone)
        if self.run is not None and not self.run.predicted_tags.is_file():
            raise TagmaskError(
                f"{self.run.path} holds no predicted tags of validation images; expected a run with validation images "
                f"that has made its maps: tagmask make-maps {self.run.path}, or take --check-tags instead of --run"
            )

    def doubts(
        self, dataset: Dataset, census: Census, readable: Set[str], twins: Sequence[Twins], workers: int | None
    ) -> tuple[tuple[Doubt, ...], tuple[Finding, ...]]:
        """Tags that look wrong, the surest first, and who says so."""
        splits = {census.train_split} if self.run else {census.train_split, census.val_split}
        records = [each for each in dataset.records if each.split in splits and each.id in readable]
        said = [self._by_folds(dataset, records, twins, workers)] if self.backbone.weights != "none" else []
        if self.run is not None:
            said.append(_by_run(dataset, census, self.run))
        found = sorted((doubt for doubts, *_ in said for doubt in doubts), key=lambda doubt: -doubt.surprise)
        return tuple(found), tuple(doubt_finding(*each) for each in said)

    def _by_folds(
        self, dataset: Dataset, records: Sequence[Record], twins: Sequence[Twins], workers: int | None
    ) -> tuple[list[Doubt], int, str]:
        tags = tag_matrix(records, len(dataset.classes))
        said = judge(features_of(dataset, records, self.backbone, workers), tags, groups(records, twins))
        model = getattr(self.backbone, "model", self.backbone.kind)
        splits = " and ".join(dict.fromkeys(record.split for record in records))
        protocol = (
            f"linear classifiers on a pretrained backbone ({model}) that never saw the image they judge: the "
            f"{len(records):,} images of {splits} in {FOLDS} parts, each judged by what was learned from the others"
        )
        left_out = [name for name, judged in zip(dataset.classes, said.judged, strict=True) if not judged]
        if left_out:
            protocol += f"; not judged, with fewer than {FEWEST} images with or without: {', '.join(left_out)}"
        doubts = find_doubts(records, dataset.classes, tags, said.probabilities, said.judged)
        return doubts, len(records) * int(said.judged.sum()), protocol


def _by_run(dataset: Dataset, census: Census, run: RunFolder) -> tuple[list[Doubt], int, str]:
    predicted = read_json(run.predicted_tags)
    assert isinstance(predicted, dict)
    records = [
        each
        for each in dataset.split(census.val_split or "")
        if predicted.get(each.id, {}).keys() >= {*dataset.classes}
    ]
    values = [[predicted[each.id][name] for name in dataset.classes] for each in records]
    chances = np.array(values, np.float32).reshape(len(records), len(dataset.classes))
    tags = tag_matrix(records, len(dataset.classes))
    judged = np.minimum(tags.sum(axis=0), (~tags).sum(axis=0)) >= FEWEST_OF_RUN
    protocol = f"the classifier of {run.path}, on the {len(records):,} validation images that it has not learned from"
    doubts = find_doubts(records, dataset.classes, tags, chances, judged)
    return doubts, len(records) * int(judged.sum()), protocol
