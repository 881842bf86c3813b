"""What a reader of a report should look at first, in words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagmask.stages.run import Run

_FEW_IMAGES = 20
_FEW_OF_A_CLASS = 5
_WEAK = 0.5  # of average precision


def advice(run: Run, scores: Mapping[str, Any], ranked: Sequence[tuple[str, float]]) -> list[str]:
    """Observations in words: what to look at first when results disappoint.

    Args:
        run: whose results they are.
        scores: what ``scores.json`` holds.
        ranked: id and quality of every pseudo mask.
    """
    notes = list(run.dataset.notes)
    tags = scores.get("tags", {})
    mean = tags.get("mean_average_precision")
    if mean is not None:
        few = len(run.validation_records) < _FEW_IMAGES
        notes.append(
            f"The classifier reaches {100 * mean:.1f} mean average precision on the validation tags"
            + (f" of {len(run.validation_records)} images only: that may be chance." if few else ".")
        )
        notes += _weak_classes(run, tags["average_precision"])
    return [*notes, *_empty_masks(run, ranked), *_empty_predictions(scores)]


def _weak_classes(run: Run, precisions: Mapping[str, float | None]) -> Iterator[str]:
    """Classes that the classifier hardly recognises, apart from those that too few validation images tell of."""
    held_out = Counter(run.dataset.classes[tag] for record in run.validation_records for tag in record.tags)
    weak = [name for name, value in precisions.items() if value is not None and value < _WEAK]
    if told := [name for name in weak if held_out[name] >= _FEW_OF_A_CLASS]:
        yield (
            f"It hardly recognises {', '.join(told)}: maps of these classes cannot be good. "
            "Add images of them, train longer, or change the learning rate."
        )
    if untold := [f"{name} ({held_out[name]})" for name in weak if held_out[name] < _FEW_OF_A_CLASS]:
        yield (
            f"It may hardly recognise {', '.join(untold)}: their validation images, counted in brackets, are too few "
            "to tell. Look at the maps of these classes."
        )


def _empty_masks(run: Run, ranked: Sequence[tuple[str, float]]) -> list[str]:
    """Whether many pseudo masks show none of their tags, or no background: their quality is then 0."""
    tagged = {record.id for record in run.training_records if record.tags}
    empty = sum(quality == 0 for image_id, quality in ranked if image_id in tagged)
    if 4 * empty < max(len(tagged), 1):
        return []
    return [
        f"{empty} of {len(tagged)} tagged training images have a mask that shows none of their tags, or nothing but "
        "them. Look at their maps: if these are weak or cover the whole image, the classifier has not learned enough "
        "(more steps, more images, images without these tags)."
    ]


def _empty_predictions(scores: Mapping[str, Any]) -> list[str]:
    """Whether the segmentation network finds nothing where there is ground truth to know it by."""
    found = {name: iou for name, iou in scores.get("prediction", {}).get("iou", {}).items() if name != "background"}
    if not found or any(found.values()):
        return []
    return ["The segmentation network finds none of the classes: it calls everything background."]
