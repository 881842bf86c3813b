"""What the parts of a run add up to, as a table: arithmetic on figures that have been measured."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEAD = "| stage | seconds an image | bare passes | ratio | waiting for images | memory |\n|---|--:|--:|--:|--:|--:|"


@dataclass(frozen=True)
class StageTotal:
    """A stage of the whole run.

    Attributes:
        stage: its name.
        seconds: of all its parts.
        bare: of the bare passes that it must make.
        waiting: seconds of it that were spent on waiting for images.
        memory: MiB that its process held at most.
    """

    stage: str
    seconds: float
    bare: float
    waiting: float
    memory: float | None = None

    @property
    def ratio(self) -> float | None:
        """Seconds over those of the bare passes; None where no network looks at anything."""
        return self.seconds / self.bare if self.bare else None


def ratios(work: Sequence[float], bare: Sequence[float]) -> list[float]:
    """Ratio of each turn, whose two members were measured one after the other.

    >>> ratios([3.0, 2.0], [2.0, 2.0])
    [1.5, 1.0]
    """
    return [one / other for one, other in zip(work, bare, strict=True)]


def totals(parts: Sequence[Mapping[str, Any]], memory: Mapping[str, float | None]) -> list[StageTotal]:
    """Stages in order, whose parts are taken as often as the whole run has them.

    Args:
        parts: ``stage``, ``units``, ``seconds``, ``waiting_seconds`` and, where there are any, ``bare_seconds``.
        memory: MiB by stage.
    """

    def of(stage: str, key: str) -> float:
        return sum(part["units"] * part.get(key, 0.0) for part in parts if part["stage"] == stage)

    return [
        StageTotal(
            stage, *(of(stage, key) for key in ("seconds", "bare_seconds", "waiting_seconds")), memory.get(stage)
        )
        for stage in dict.fromkeys(part["stage"] for part in parts)
    ]


def whole(stages: Sequence[StageTotal]) -> StageTotal:
    """All stages in one."""
    known = [stage.memory for stage in stages if stage.memory is not None]
    sums = (sum(getattr(stage, name) for stage in stages) for name in ("seconds", "bare", "waiting"))
    return StageTotal("whole run", *sums, max(known, default=None))


def table(stages: Sequence[StageTotal], images: int) -> str:
    """Markdown: a line for each stage and one for the whole run, per training image."""
    lines = [_line(stage, images) for stage in [*stages, whole(stages)]]
    return "\n".join([HEAD, *lines])


def _line(stage: StageTotal, images: int) -> str:
    each = [f"{seconds / images:.3g}" if seconds else "" for seconds in (stage.seconds, stage.bare)]
    ratio = "" if stage.ratio is None else f"{stage.ratio:.2f}"
    share = f"{100 * stage.waiting / stage.seconds:.0f} %" if stage.waiting else ""
    memory = "" if stage.memory is None else f"{stage.memory:.0f} MiB"
    return f"| {' | '.join([stage.stage, *each, ratio, share, memory])} |"


def part_line(part: Mapping[str, Any]) -> str:
    """A part in a line of plain text, as it is printed when it has been measured."""
    bare = f"bare {part['bare_seconds']:8.4f} s  ratio {part['times_bare']:6.2f}" if "bare_seconds" in part else ""
    share = f"waiting {part['waiting_seconds'] / part['seconds']:4.0%}" if part["waiting_seconds"] else ""
    name = f"{part['stage']}: {part['part']}"
    return f"  {name:<42} {part['seconds']:8.4f} s a {part['unit']:<6} {bare:<30} {share}".rstrip()


def spread(repeats: Sequence[float]) -> float:
    """How far repeats lie from their median, as a share of it: the median of the distances.

    >>> spread([1.0, 1.1, 1.0, 0.9, 2.0])
    0.1
    """
    middle = statistics.median(repeats)
    return round(statistics.median(abs(value - middle) for value in repeats) / middle, 6) if middle else 0.0


def between_markers(page: str, name: str, text: str) -> str:
    """A page with new text between ``<!-- name:begin -->`` and ``<!-- name:end -->``.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {begin} followed by {end}; write both where the table belongs")
    return f"{before}{begin}\n{text}\n{end}{after}"
