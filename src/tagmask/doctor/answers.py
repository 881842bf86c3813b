"""An examination as people read it in a terminal, and as scripts read it."""

from typing import Any

from tagmask.doctor.examination import Examination
from tagmask.doctor.findings import SEVERITIES, Finding

VERSION = 1
"""Of the JSON: keys are added without changing it, and never renamed or given another meaning within it."""

MOST = 1000
"""Pairs, doubts and names that the JSON lists at most; their full number stands beside them."""

WORDS = {"stop": "STOP", "warn": "warning", "note": "note"}


def counts_table(examination: Examination) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of the table of classes and splits."""
    census = examination.census
    if census is None:
        return (), []
    head = ("class", *census.images)
    rows = [
        (name, *(f"{counts[number]:,}" for counts in census.counts.values()))
        for number, name in enumerate(census.classes)
    ]
    untagged = ("without tags", *(f"{census.untagged[split]:,}" for split in census.images))
    masks = ("with a mask", *(f"{census.masks[split]:,}" for split in census.images))
    images = ("images", *(f"{number:,}" for number in census.images.values()))
    return head, [*rows, untagged, *([masks] if any(census.masks.values()) else []), images]


def sizes_sentence(examination: Examination) -> str:
    """The sizes of the images, in a sentence; nothing where none can be read."""
    sizes = examination.sizes
    if sizes is None:
        return ""
    smallest, middle, largest = (
        f"{rows} x {columns}" for rows, columns in (sizes.smallest, sizes.middle, sizes.largest)
    )
    return f"rows x columns: {smallest} (smallest), {middle} (middle), {largest} (largest)"


def finding_lines(examination: Examination) -> list[str]:
    """A line for each finding."""
    return [f"{WORDS[finding.severity]}: {finding.text}" for finding in examination.findings]


def closing_lines(examination: Examination) -> list[str]:
    """What to expect, the verdict and what to do next."""
    advice = examination.recommendation
    expected = [f"expect: {sentence}" for sentence in examination.expected] if examination.verdict != "stop" else []
    lines = [*expected, examination.sentence]
    if advice is not None and examination.verdict != "stop":
        data = None if examination.data is None else str(examination.data)
        lines.append(f"next: {advice.command(data)}")
    return lines


# ── for scripts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def as_json(examination: Examination) -> dict[str, Any]:
    """Everything, in plain values; each finding has its key."""
    return {
        "version": VERSION,
        "data": None if examination.data is None else str(examination.data),
        "name": examination.name,
        "verdict": examination.verdict,
        "sentence": examination.sentence,
        "counts": {severity: sum(f.severity == severity for f in examination.findings) for severity in SEVERITIES},
        "findings": [_finding(each) for each in examination.findings],
        "images": _images(examination),
        "near_duplicates": _twins(examination),
        "doubtful_tags": _doubts(examination),
        "expect": list(examination.expected),
        "recommendation": _recommendation(examination),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "key": finding.key,
        "severity": finding.severity,
        "what": finding.what,
        "why": finding.why,
        "do": finding.do,
        "number": len(finding.about),
        "about": list(finding.about[:MOST]),
    }


def _images(examination: Examination) -> dict[str, Any] | None:
    census, sizes = examination.census, examination.sizes
    if census is None:
        return None
    return {
        "classes": list(census.classes),
        "train_split": census.train_split,
        "val_split": census.val_split,
        "splits": {
            split: {
                "images": number,
                "without_tags": census.untagged[split],
                "with_mask": census.masks[split],
                "per_class": dict(zip(census.classes, census.counts[split], strict=True)),
            }
            for split, number in census.images.items()
        },
        "together": census.together.tolist(),
        "sizes": None if sizes is None else {k: list(getattr(sizes, k)) for k in ("smallest", "middle", "largest")},
    }


def _twins(examination: Examination) -> dict[str, Any]:
    listed = [
        {"first": t.first.id, "second": t.second.id, "kind": t.kind, "splits": [t.first.split, t.second.split]}
        for t in examination.twins[:MOST]
    ]
    across = sum(pair.across_splits for pair in examination.twins)
    return {"number": len(examination.twins), "across_splits": across, "pairs": listed}


def _doubts(examination: Examination) -> dict[str, Any] | None:
    if examination.doubts is None:
        return None
    listed = [
        {"image": d.record.id, "class": d.name, "tagged": d.is_tagged, "probability": round(d.probability, 4)}
        for d in examination.doubts[:MOST]
    ]
    return {"number": len(examination.doubts), "tags": listed}


def _recommendation(examination: Examination) -> dict[str, Any] | None:
    advice = examination.recommendation
    if advice is None:
        return None
    data = None if examination.data is None else str(examination.data)
    return {
        "recipe": advice.recipe,
        "settings": list(advice.settings),
        "reason": advice.reason,
        "command": advice.command(data),
    }
