"""Ground-truth masks in files: what their numbers and colours mean, and whether they fit images, classes and tags."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from PIL import Image

from tagmask.config import MaskFilesConfig
from tagmask.contracts import MaskArray, Record
from tagmask.conventions import BACKGROUND, IGNORE
from tagmask.data.datasets.checks import Problem, Problems
from tagmask.data.images import LOSSLESS_FORMATS, check_image, read_image, read_mask
from tagmask.data.orientation import Shape
from tagmask.errors import TagmaskError

_NO_VALUE = -2  # is in no file
_MOST_COLOURS = 256  # of a file; with more it is no mask
ENOUGH_MASKS = 5  # to say what none of them has


# ── what files mean ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class MaskReading:
    """What the numbers or colours of mask files mean.

    Attributes:
        ignore_value: the number that means "no label".
        values: numbers that mean another number.
        colours: packed colours and the classes they mean; empty: files hold numbers.
    """

    ignore_value: int
    values: Mapping[int, int]
    colours: Mapping[int, int]

    def read(self, path: Path) -> MaskArray:
        """Class numbers of a mask file, ``IGNORE`` where it has no label.

        Raises:
            TagmaskError: the file is missing, unreadable, lossy, or holds colours that mean nothing.
        """
        if not self.colours:
            return self.meaning(read_mask(path, _NO_VALUE))
        packed = packed_colours(path)
        unknown = set(np.unique(packed).tolist()) - self.colours.keys()
        if unknown:
            raise TagmaskError(f"the mask {path} holds {written(min(unknown))}, which data.mask_colours does not name")
        return _replaced(packed, self.colours)

    def meaning(self, numbers: MaskArray) -> MaskArray:
        """Class numbers for the numbers of a file.

        Raises:
            TagmaskError: a negative number without a meaning.
        """
        meant = _replaced(numbers, self.values)
        if meant.min(initial=0) < 0:
            raise TagmaskError(
                f"a mask holds {meant.min()}; say what it means with data.mask_values={{{meant.min()}: number meant}}, "
                f"where {self.ignore_value} is `no label`"
            )
        return np.where(meant == self.ignore_value, np.int32(IGNORE), meant)


def mask_reading(config: MaskFilesConfig, classes: Sequence[str]) -> MaskReading:
    """What mask files mean by the settings.

    Raises:
        TagmaskError: a setting names what is no class.
    """
    numbers = {"background": BACKGROUND, "ignore": IGNORE, **{name: place + 1 for place, name in enumerate(classes)}}
    unknown = sorted(set(config.mask_colours.values()) - numbers.keys())
    if unknown:
        known = ", ".join(numbers)
        raise TagmaskError(f"data.mask_colours names {', '.join(unknown)}; expected one of {known}: correct it")
    wrong = sorted({n for n in config.mask_values.values() if not 0 <= n <= len(classes)} - {config.ignore_value})
    if wrong:
        raise TagmaskError(
            f"data.mask_values leads to {', '.join(map(str, wrong))}; expected 0 (background), 1 to {len(classes)} "
            f"(the classes in order) or {config.ignore_value} (no label): correct it"
        )
    colours = {int(colour[1:], 16): numbers[name] for colour, name in config.mask_colours.items()}
    return MaskReading(config.ignore_value, config.mask_values, colours)


def _replaced(numbers: Int32[np.ndarray, "h w"], meanings: Mapping[int, int]) -> Int32[np.ndarray, "h w"]:
    meant = numbers.copy()
    for number, meaning in meanings.items():
        meant[numbers == number] = meaning
    return meant


def packed_colours(path: Path) -> Int32[np.ndarray, "h w"]:
    """The colours of a picture as numbers 0xRRGGBB; transparent pixels are white."""
    red, green, blue = np.moveaxis(read_image(path).astype(np.int32), 2, 0)
    return (red << 16) | (green << 8) | blue


def written(packed: int) -> str:
    """A packed colour as settings write it.

    >>> written(0xFF8000)
    '#ff8000'
    """
    return f"#{packed:06x}"


# ── looking at files ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class MaskLook:
    """What scoring has to know of a mask before there is anything to score.

    Attributes:
        id: of the image.
        size: rows and columns.
        numbers: those that occur, in class numbers and ``IGNORE``.
        raw: numbers that occur in the file.
        colours: packed colours that occur and mean nothing.
        reason: why it cannot be read; None if it can.
    """

    id: str
    size: tuple[int, int] = (0, 0)
    numbers: frozenset[int] = frozenset()
    raw: frozenset[int] = frozenset()
    colours: frozenset[int] = frozenset()
    reason: str | None = None


def look_at_mask(key: str, path: Path, reading: MaskReading) -> MaskLook:
    """Decode a mask once and say what it holds."""
    reason = check_image(path)
    if reason:
        return MaskLook(key, reason=reason)
    with Image.open(path) as image:
        kind, mode = image.format, image.mode
    if kind not in LOSSLESS_FORMATS:
        return MaskLook(key, reason=f"{kind} changes numbers and colours; expected PNG")
    try:
        return (
            _look_at_colours(key, path, reading) if reading.colours or _is_coloured(mode) else _look(key, path, reading)
        )
    except TagmaskError as error:
        return MaskLook(key, reason=str(error))


def _is_coloured(mode: str) -> bool:
    return mode not in ("P", "L", "1") and mode[0] != "I"


def _look(key: str, path: Path, reading: MaskReading) -> MaskLook:
    raw = read_mask(path, _NO_VALUE)
    is_wide = raw.max(initial=0) > 65535 or raw.min(initial=0) < 0
    found = np.unique(raw) if is_wide else np.flatnonzero(np.bincount(raw.ravel()))
    meant = reading.meaning(found.astype(np.int32)[None])
    height, width = raw.shape
    return MaskLook(key, (height, width), frozenset(meant[0].tolist()), frozenset(found.tolist()))


def _look_at_colours(key: str, path: Path, reading: MaskReading) -> MaskLook:
    packed = packed_colours(path)
    found = frozenset(np.unique(packed)[:_MOST_COLOURS].tolist())
    known = frozenset(reading.colours[colour] for colour in found.intersection(reading.colours))
    height, width = packed.shape
    return MaskLook(key, (height, width), known, colours=found.difference(reading.colours))


# ── judging them ─────────────────────────────────────────────────────────────────────────────────────────────────────


def check_mask_values(
    looks: Sequence[MaskLook], records: Iterable[Record], classes: Sequence[str], problems: Problems
) -> None:
    """Note masks that cannot be read, numbers and colours that mean nothing, and classes that masks lack.

    Args:
        looks: what the masks hold.
        records: the images, which have the tags.
        classes: the class list.
        problems: where to note what is wrong.
    """
    for look in looks:
        if look.reason:
            problems.add(Problem.MASK_UNREADABLE, f"{look.id} ({look.reason})")
    for number, ids in _where(looks, lambda look: (n for n in look.numbers if n > len(classes))):
        problems.add(Problem.MASK_VALUE, f"{number} {_in_masks(ids)}")
    for colour, ids in _where(looks, lambda look: look.colours):
        problems.add(Problem.MASK_COLOUR, f"{written(colour)} {_in_masks(ids)}")
    if not any(look.reason or look.colours or max(look.numbers, default=0) > len(classes) for look in looks):
        _check_against_tags(looks, records, classes, problems)  # else its findings would follow from the others


def _check_against_tags(
    looks: Sequence[MaskLook], records: Iterable[Record], classes: Sequence[str], problems: Problems
) -> None:
    tags = {record.id: record.tags for record in records}
    for place, name in enumerate(classes):
        tagged = [look for look in looks if place in tags.get(look.id, ())]
        lacking = [look for look in tagged if place + 1 not in look.numbers]
        if 2 * len(lacking) > len(tagged):
            problems.add(Problem.MASK_EMPTY, _lacking(place, name, tagged, lacking))
            continue
        ids = {look.id for look in tagged}
        likeness = [
            _likeness(ids, {look.id for look in looks if n in look.numbers}) for n in range(1, len(classes) + 1)
        ]
        other = int(np.argmax(likeness))
        if likeness[place] < 0.5 and likeness[other] >= 0.9:
            problems.add(Problem.MASK_ORDER, f"{name} (number {place + 1}; the masks hold {other + 1})")


def _likeness(ones: set[str], others: set[str]) -> float:
    """Shared items of two sets over all of them."""
    return len(ones & others) / max(len(ones | others), 1)


def _where(looks: Iterable[MaskLook], what: Callable[[MaskLook], Iterable[int]]) -> list[tuple[int, list[str]]]:
    found: dict[int, list[str]] = {}
    for look in looks:
        for number in what(look):
            found.setdefault(number, []).append(look.id)
    return sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))


def _in_masks(ids: list[str]) -> str:
    return f"in {len(ids)} masks ({ids[0]}, ...)" if len(ids) > 1 else f"in the mask of {ids[0]}"


def _lacking(place: int, name: str, tagged: list[MaskLook], lacking: list[MaskLook]) -> str:
    text = f"{name} (number {place + 1}; not in {len(lacking)} of {len(tagged)} masks, such as {lacking[0].id}"
    unlabelled = Counter(n for look in lacking for n in look.raw - look.numbers if n)
    if all(look.numbers <= {BACKGROUND, IGNORE} for look in lacking) and len(unlabelled) == 1:
        number = next(iter(unlabelled))
        text += (
            f", which holds {number} instead; {number} means 'no label' (data.ignore_value); if it means {name}, set "
            f"data.mask_values={{{number}: {place + 1}}}"
        )
    return f"{text})"


def without_background(looks: Sequence[MaskLook]) -> Iterator[str]:
    """A remark where no mask has a pixel of background, which pseudo masks would have nevertheless."""
    if len(looks) >= ENOUGH_MASKS and not any(look.reason or BACKGROUND in look.numbers for look in looks):
        yield (
            f"None of {len(looks)} masks has a pixel of background: where every pixel belongs to a class, "
            "masks.background.rule=none makes pseudo masks alike."
        )


def check_mask_sizes(
    looks: Iterable[MaskLook], shapes: Mapping[str, Shape], as_stored: bool, problems: Problems
) -> Iterator[str]:
    """Note masks of another size than their images; yields remarks.

    Args:
        looks: what the masks hold.
        shapes: of the images by id.
        as_stored: whether photographs are taken as they are stored.
        problems: where to note what is wrong.
    """
    hidden = []
    for look in looks:
        shape = shapes.get(look.id)
        if look.reason or shape is None:
            continue
        wanted, other = (shape.stored, shape.upright) if as_stored else (shape.upright, shape.stored)
        if look.size != wanted:
            turned = Problem.MASK_UPRIGHT if as_stored else Problem.MASK_TURNED
            problem = turned if look.size == other else Problem.MASK_SIZE
            problems.add(problem, f"{look.id} (mask {_rows(look.size)}, image {_rows(wanted)} rows x columns)")
        elif shape.orientation != 1 and wanted == other:
            hidden.append(look.id)
    if hidden and not as_stored:
        yield (
            f"{len(hidden)} photographs with a mask are turned by EXIF without a change of size, such as {hidden[0]}; "
            "their masks are taken to be upright (data.exif)."
        )


def _rows(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
