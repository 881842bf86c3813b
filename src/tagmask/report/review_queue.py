"""The part of a report that asks for a look: which masks to trust least and most, and what has been looked at."""

import shlex
from collections import Counter
from collections.abc import Sequence

from tagmask.contracts import Record
from tagmask.report import charts
from tagmask.report.content import Card, ClassQueue, ReviewQueue, tags_of
from tagmask.report.pictures import Photograph
from tagmask.stages.results import best_pseudo_mask, read_ranking
from tagmask.stages.run import Run

_SHOWN = 8
_SHOWN_OF_CLASS = 3
_WIDTH = 240

Ranked = Sequence[tuple[str, float]]


def review_queue(run: Run) -> ReviewQueue | None:
    """The masks of a run by their quality; None where there are none yet."""
    ranked = read_ranking(run)
    if not ranked:
        return None
    records = {record.id: record for record in run.training_records}
    tagged = [(image_id, quality) for image_id, quality in ranked if records[image_id].tags]
    best = [each for each in tagged[::-1] if each[1] > 0]  # nothing was decided where there is no tag
    return ReviewQueue(
        qualities=charts.histogram(f"Quality of all {len(ranked)} pseudo masks", [q for _, q in ranked], "quality"),
        lowest=_cards(run, records, ranked[:_SHOWN]),
        highest=_cards(run, records, best[:_SHOWN]) if len(ranked) > _SHOWN else (),
        of_classes=[_of_class(run, records, number, tagged) for number in range(len(run.dataset.classes))],
        reviewed=reviewed_share(run),
        command=shlex.join(["tagmask", "review", str(run.folder.path)]),
    )


def _of_class(run: Run, records: dict[str, Record], number: int, tagged: Ranked) -> ClassQueue:
    having = [each for each in tagged if number in records[each[0]].tags]
    shown = min(_SHOWN_OF_CLASS, len(having) // 2)
    return ClassQueue(
        run.dataset.classes[number],
        len(having),
        _cards(run, records, having[:shown]),
        _cards(run, records, having[::-1][:shown]),
    )


def reviewed_share(run: Run) -> str:
    """How many masks a person has looked at, and what they decided, in a sentence."""
    reviews = run.reviews.all([record.id for record in run.training_records])
    decided = Counter(review.decision for review in reviews.values() if review.decision is not None)
    if not decided:
        return "Nobody has looked at them yet."
    counts = ", ".join(f"{number} {decision}" for decision, number in sorted(decided.items()))
    return f"{decided.total()} of {len(run.training_records)} have been looked at: {counts}."


def _cards(run: Run, records: dict[str, Record], ranked: Ranked) -> list[Card]:
    return [_card(run, records[image_id], quality) for image_id, quality in ranked]


def _card(run: Run, record: Record, quality: float) -> Card:
    image = run.dataset.read_image(record)
    mask = best_pseudo_mask(run, record, (image.shape[0], image.shape[1]))
    pictures = [Photograph.of(image, _WIDTH).with_mask(mask, "pseudo mask")]
    return Card(record.id, tags_of(record.tags, run.dataset.classes), pictures=pictures, quality=quality)
