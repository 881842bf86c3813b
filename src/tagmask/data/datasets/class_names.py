"""Tags as people write them, and the classes they mean: one spelling each, no background among them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagmask.config import TagNamesConfig
from tagmask.data.datasets.checks import NAMES_SHOWN, Problem, Problems, check_classes, read_lines
from tagmask.data.datasets.paths import any_case, same_letters


@dataclass(frozen=True)
class ClassNames:
    """The classes of a data set and the tags that mean them.

    Attributes:
        classes: their names in order.
        meant: the class of each tag as written; a tag that is no class of the list means itself, one that is left out
            is missing.
        notes: what was joined and left out, one sentence each.
    """

    classes: tuple[str, ...]
    meant: Mapping[str, str]
    notes: tuple[str, ...] = ()


def listed_classes(config: TagNamesConfig, root: Path) -> tuple[str, ...] | None:
    """The configured classes, else the lines of ``classes.txt`` in the data folder, else None.

    Raises:
        TagmaskError: the list is unreadable, empty, or names a class twice.
    """
    file = root / "classes.txt"
    if config.classes is not None:
        return tuple(map(same_letters, check_classes(config.classes, "data.classes")))
    return tuple(map(same_letters, check_classes(read_lines(file), str(file)))) if file.is_file() else None


def name_classes(
    tags: Mapping[str, int], listed: Sequence[str] | None, config: TagNamesConfig, problems: Problems
) -> ClassNames:
    """Decide what the classes are and which tags mean them.

    Args:
        tags: as written, with the number of images that have each; in the order of the classes if none are listed.
        listed: the class list, or None if the tags are the classes.
        config: which tags are joined and left out.
        problems: where to note tags that differ only in case, and a class called background.
    """
    left_out = {_bare(name) for name in config.not_classes}
    known = [name for name in (tags if listed is None else listed) if _bare(name) not in left_out]
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys((*known, *(tag for tag in tags if _bare(tag) not in left_out))):
        groups.setdefault(_plain(name), []).append(name)
    chosen = {key: _chosen(names, listed or (), tags) for key, names in groups.items()}
    joined = [names for names in groups.values() if len(names) > 1]
    for names in () if config.join_case else joined:
        problems.add(Problem.CASE, " / ".join(sorted(names)))
    for key in [key for key in chosen if _bare(key) == "background"]:
        number = sum(tags.get(each, 0) for each in groups[key])
        problems.add(Problem.BACKGROUND, f"{chosen.pop(key)} ({number} images)")
    meant = {tag: chosen[_plain(tag)] for tag in tags if _plain(tag) in chosen}
    classes = tuple(dict.fromkeys(chosen[_plain(name)] for name in known if _plain(name) in chosen))
    if listed is None and [*tags] == sorted(tags):
        classes = tuple(sorted(classes))  # a joined class may have moved
    return ClassNames(classes, meant, tuple(_notes(tags, joined, chosen, config)))


def _plain(name: str) -> str:
    """What names have in common that differ in case and blanks alone."""
    return " ".join(any_case(name).split())


def _bare(name: str) -> str:
    """A plain name without the lines that some tools put around names of no class, such as `_background_`."""
    return _plain(name).strip("_- ")


def _chosen(names: Sequence[str], listed: Sequence[str], tags: Mapping[str, int]) -> str:
    """The spelling of the class list, else the one of most images."""
    return next((name for name in names if name in listed), max(names, key=lambda name: tags.get(name, 0)))


def _notes(
    tags: Mapping[str, int], joined: list[list[str]], chosen: Mapping[str, str], config: TagNamesConfig
) -> Iterator[str]:
    if config.join_case and joined:
        shown = (f"{', '.join(names)} as {chosen[_plain(names[0])]}" for names in joined[:NAMES_SHOWN])
        yield f"Tags that differ only in case are joined: {'; '.join(shown)}."
    for name in config.not_classes:
        number = sum(count for tag, count in tags.items() if _bare(tag) == _bare(name))
        yield f"The tag {name} is left out of {number} images (data.not_classes)."


def count_tags(tags: Sequence[Sequence[str]], order: Sequence[str] | None) -> dict[str, int]:
    """How many images have each tag; in a given order, to which the others follow sorted.

    >>> count_tags([("dog", "cat"), ("dog",)], None)
    {'cat': 1, 'dog': 2}
    """
    counts = Counter(tag for each in tags for tag in each)
    return {name: counts[name] for name in dict.fromkeys((*(order or ()), *sorted(counts)))}


def background_notes(classes: Iterable[str]) -> Iterator[str]:
    """What is said of a class that is called like the background, which masks have besides."""
    for name in classes:
        if name.casefold() == "background":
            yield (
                f"The class {name!r} is learned like any other, beside the background of the masks; if it means that "
                "background, leave it out with data.classes."
            )
