"""What the counts of images and tags say about the classes, in words."""

from collections.abc import Iterator

from tagmask.doctor.census import Census, companions
from tagmask.doctor.class_names import RARE, alike
from tagmask.doctor.findings import Finding, counted, listed

TOO_FEW = 20
"""Training images of a class below which they are called too few: a pretrained classifier knows so few by heart within
a few epochs, and the tenth held out for validation is one or two images. A rule of thumb, not a measurement."""

FEW = 50
"""Training images of a class below which they are called few. Also a rule of thumb: the smallest class of the set that
results come from has 263."""

TOGETHER = 0.95
"""Share of a class's images from which on another one is said to (nearly) always be there: one image in twenty is
what wrong and missing tags make of a pair that never parts."""

CHANCE = 5
"""Images of a class below which company is chance, and its rareness the finding."""

UNBALANCED = 10
"""How many times the images of the smallest class the largest may have before it is said."""

TYPICAL = 20
"""A class of one or two images is called rare where the middle one has at least so many."""

FEW_VALIDATION = 20
"""Validation images below which scores are said to be chance; the report of a run draws the line there too."""


def class_findings(census: Census) -> Iterator[Finding]:
    """All that can be said from counts alone."""
    yield from _names(census)
    yield from _sizes(census)
    yield from _company(census)
    yield from _validation(census)
    yield from _untagged(census)


# ── names and numbers ────────────────────────────────────────────────────────────────────────────────────────────────


def _names(census: Census) -> Iterator[Finding]:
    counts = census.training_counts
    for pair in alike(census.classes, counts):
        rarer, commoner = census.classes[pair.rarer], census.classes[pair.commoner]
        yield Finding(
            "classes-alike",
            "warn" if pair.is_rare else "note",
            f"The classes {rarer!r} ({counts[pair.rarer]:,}) and {commoner!r} ({counts[pair.commoner]:,}) have nearly "
            "the same name.",
            "If one is a misspelling, its images teach that they do not show the other.",
            f"Write {commoner!r} in those tags if so; else all is well.",
            (rarer, commoner),
        )


def rare_classes(census: Census) -> list[int]:
    """Classes of one or two training images where the middle class has many."""
    counts = census.training_counts
    middle = sorted(counts)[len(counts) // 2] if counts else 0
    return [number for number, count in enumerate(counts) if count <= RARE] if middle >= TYPICAL else []


def _misspelt(census: Census) -> set[int]:
    """Classes so rare, and so like another one, that they are most likely meant to be it."""
    return {pair.rarer for pair in alike(census.classes, census.training_counts) if pair.is_rare}


def _sizes(census: Census) -> Iterator[Finding]:
    counts, misspelt = census.training_counts, _misspelt(census)
    rare = [number for number in rare_classes(census) if number not in misspelt]
    if rare:
        yield Finding(
            "classes-rare",
            "warn",
            f"{counted(len(rare), 'class')} with one or two training images beside classes of many: "
            f"{listed(_with_counts(census, rare))}.",
            "So rare a tag is most often a slip of the pen.",
            "Correct the tags, or leave the class out.",
            _named(census, rare),
        )
    others = [number for number in range(len(counts)) if number not in {*rare, *misspelt}]
    too_few = [number for number in others if counts[number] < TOO_FEW]
    if too_few:
        yield Finding(
            "classes-too-few",
            "warn",
            f"{counted(len(too_few), 'class')} with fewer than {TOO_FEW} training images: "
            f"{listed(_with_counts(census, too_few))}.",
            "So few are known by heart and nothing is learned from them: expect masks that are guesses.",
            f"Add images ({FEW} or more a class), join classes that are alike, or leave them out (data.classes).",
            _named(census, too_few),
        )
    few = [number for number in others if TOO_FEW <= counts[number] < FEW]
    if few:
        yield Finding(
            "classes-few",
            "warn",
            f"{counted(len(few), 'class')} with fewer than {FEW} training images: {listed(_with_counts(census, few))}.",
            "Their maps will be weak.",
            "More images of these help more than any setting.",
            _named(census, few),
        )
    yield from _balance(census, others)


def _balance(census: Census, numbers: list[int]) -> Iterator[Finding]:
    counts = census.training_counts
    kept = sorted((number for number in numbers if counts[number]), key=lambda number: counts[number])
    if len(kept) < 2 or counts[kept[-1]] < UNBALANCED * counts[kept[0]]:
        return
    yield Finding(
        "classes-unbalanced",
        "note",
        f"{census.classes[kept[-1]]!r} has {counts[kept[-1]] / counts[kept[0]]:.0f} times the training images of "
        f"{census.classes[kept[0]]!r} ({counts[kept[-1]]:,} and {counts[kept[0]]:,}).",
        "The classifier will miss the rare one more often.",
        "Add images of the rare classes; taking common ones away helps less.",
        (census.classes[kept[-1]], census.classes[kept[0]]),
    )


# ── company ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _company(census: Census) -> Iterator[Finding]:
    counts, names = census.training_counts, census.classes
    everywhere = [n for n, count in enumerate(counts) if count >= max(CHANCE, TOGETHER * census.training_images)]
    for number in everywhere:
        yield Finding(
            "class-everywhere",
            "warn",
            f"{names[number]!r} is on {counts[number]:,} of {census.training_images:,} training images.",
            "Without images that lack it, nothing can be learned about where it is.",
            "Add images without it, with an empty tag cell if they show none of the classes.",
            (names[number],),
        )
    mutual, within = companions(census.together, TOGETHER, CHANCE)
    for pair in mutual:
        if not {pair.one, pair.other} <= set(everywhere):
            yield _inseparable(census, pair.one, pair.other, pair.both)
    for pair in within:
        if pair.other not in everywhere:
            yield Finding(
                "class-within-class",
                "note",
                f"{names[pair.one]!r} is hardly ever without {names[pair.other]!r}: on {pair.both:,} of its "
                f"{counts[pair.one]:,} training images.",
                f"Its maps tend to reach over {names[pair.other]!r}.",
                f"Add images of {names[pair.one]!r} alone.",
                (names[pair.one], names[pair.other]),
            )


def _inseparable(census: Census, one: int, other: int, both: int) -> Finding:
    counts, names = census.training_counts, census.classes
    either = counts[one] + counts[other] - both
    return Finding(
        "classes-together",
        "warn",
        f"{names[one]!r} and {names[other]!r} appear together on {both:,} of the {either:,} training images that show "
        "either.",
        "They cannot be told apart: no stage can know which of the two is where.",
        f"Add images that show one without the other ({TOO_FEW} or more of each), or make them one class.",
        (names[one], names[other]),
    )


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _validation(census: Census) -> Iterator[Finding]:
    number = census.validation_images
    if not number:
        yield Finding(
            "no-validation-images",
            "note",
            "There are no validation images.",
            "Nothing tells how well the classifier and the network do on new images.",
            "Hold some out: by a split column, or by a larger data.val_fraction and a data.val_split.",
        )
        return
    if number < FEW_VALIDATION:
        yield Finding(
            "few-validation-images",
            "note",
            f"Only {counted(number, 'validation image')}.",
            "Scores on so few are chance.",
            "Hold more out, or read scores with care.",
        )
    slips = {*_misspelt(census), *rare_classes(census)}
    missing = [
        number
        for number, (learned, scored) in enumerate(zip(census.training_counts, census.validation_counts, strict=True))
        if learned and not scored and number not in slips
    ]
    if missing:
        yield Finding(
            "classes-not-validated",
            "note",
            f"{counted(len(missing), 'class')} without a validation image: {listed(_named(census, missing))}.",
            "Nothing tells how well they are found on new images.",
            "Move some images of them into the validation split.",
            _named(census, missing),
        )


def _untagged(census: Census) -> Iterator[Finding]:
    number = census.untagged.get(census.train_split, 0)
    if number:
        yield Finding(
            "images-without-tags",
            "note",
            f"{number:,} of {census.training_images:,} training images have no tag.",
            "They are learned from as showing none of the classes, which helps if it is so.",
            "If nobody has looked at them, leave them out of the data.",
        )


def _named(census: Census, numbers: list[int]) -> tuple[str, ...]:
    return tuple(census.classes[number] for number in numbers)


def _with_counts(census: Census, numbers: list[int]) -> list[str]:
    return [f"{census.classes[number]} ({census.training_counts[number]})" for number in numbers]
