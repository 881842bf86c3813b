"""The page about a data set: what the doctor has found, with pictures of what is best seen."""

from collections.abc import Sequence
from pathlib import Path

from tagmask.contracts import Dataset, Record
from tagmask.doctor.answers import counts_table, sizes_sentence
from tagmask.doctor.examination import Examination
from tagmask.doctor.near_duplicates import Twins
from tagmask.doctor.tags.doubtful import Doubt
from tagmask.errors import TagmaskError
from tagmask.report.content import Card, Cell, DoctorContent, Picture, Remark, Row, Table, tags_of
from tagmask.report.page import write_page
from tagmask.report.pictures import Photograph

_TWINS = 16
_DOUBTS = 24
_WIDTH = 240


def write(examination: Examination, path: Path) -> Path:
    """Write the page; returns its path."""
    return write_page(path, content(examination))


def content(examination: Examination) -> DoctorContent:
    """What the page shows."""
    dataset, advice = examination.dataset, examination.recommendation
    can_run = examination.verdict != "stop"
    doubts = examination.doubts or ()
    return DoctorContent(
        title=f"What the doctor says of {examination.name}",
        data="Drawn scenes" if examination.data is None else str(examination.data),
        classes=() if dataset is None else dataset.classes,
        verdict=examination.verdict,
        sentence=examination.sentence,
        remarks=[Remark(f.severity, f.what, f.why, f.do) for f in examination.findings],
        counts=_counts(examination),
        sizes=sizes_sentence(examination).capitalize(),
        twins=[] if dataset is None else _twins(dataset, _telling(examination.twins)),
        more_twins=max(0, len(examination.twins) - _TWINS),
        doubts=[] if dataset is None else _doubts(dataset, doubts[:_DOUBTS]),
        more_doubts=max(0, len(doubts) - _DOUBTS),
        expected=examination.expected if can_run else (),
        reason=advice.reason if advice and can_run else "",
        command=advice.command(_folder(examination)) if advice and can_run else "",
    )


def _folder(examination: Examination) -> str | None:
    return None if examination.data is None else str(examination.data)


def _counts(examination: Examination) -> Table | None:
    head, rows = counts_table(examination)
    if not rows:
        return None
    lines = [Row(name, [Cell(text) for text in cells]) for name, *cells in rows]
    return Table(head, lines[:-1], last=lines[-1])


def _telling(twins: Sequence[Twins]) -> list[Twins]:
    """The pairs to show: some with different tags, then those across splits, then others."""
    differing = [pair for pair in twins if pair.first.tags != pair.second.tags][: _TWINS // 2]
    return [*differing, *(pair for pair in twins if pair not in differing)][:_TWINS]


def _twins(dataset: Dataset, twins: Sequence[Twins]) -> list[Card]:
    return [
        Card(
            f"{pair.first.id} and {pair.second.id}: {pair.kind}",
            pictures=[picture for record in (pair.first, pair.second) for picture in _picture(dataset, record)],
        )
        for pair in twins
    ]


def _doubts(dataset: Dataset, doubts: Sequence[Doubt]) -> list[Card]:
    return [
        Card(
            doubt.record.id, tags_of(doubt.record.tags, dataset.classes), pictures=_picture(dataset, doubt.record, said)
        )
        for doubt in doubts
        for said in [_said(doubt)]
    ]


def _said(doubt: Doubt) -> str:
    """What is doubted, and how surely."""
    chance = f"{100 * doubt.probability:.0f} %"
    return f"tagged {doubt.name}, likely to {chance}" if doubt.is_tagged else f"no tag {doubt.name}, likely to {chance}"


def _picture(dataset: Dataset, record: Record, caption: str = "") -> list[Picture]:
    """A small picture of an image; none if it cannot be read."""
    tags = ", ".join(dataset.classes[tag] for tag in record.tags) or "no tags"
    try:
        pixels = Photograph.of(dataset.read_image(record), _WIDTH).pixels
    except TagmaskError:
        return []
    return [Picture(caption or f"{record.split}: {tags}", pixels)]
