"""Pages of the published recipes: every setting, where it comes from, and what departs from the published run."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any, Literal, NamedTuple, cast, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from tagmask.config import CRF_PRESETS, Config, CrfConfig, Recipe, Role
from tagmask.config.recipes import load_recipe, recipe_text

FILE = "src/tagmask/config/sources.yaml"
Kind = Literal["paper", "code", "authors", "departs", "ours", "unpublished", "off", "unused"]
NOT_AS_PUBLISHED = ("departs", "ours", "unpublished")
WITHOUT_EFFECT = ("off", "unused")
LEFT_OUT = ("name", "seed")
HEADS = ("Expect", "Cost", "Data", "Run", "Notes")


class Block(BaseModel):
    """Sources of some settings of some recipes.

    Attributes:
        recipes: names.
        under: keys below which the settings lie; one that is empty: they are whole keys.
        paper: what ``paper`` means.
        code: what ``code`` means.
        sources: of each setting: a kind, and after a colon what there is to say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipes: tuple[str, ...] = Field(min_length=1)
    under: tuple[str, ...] = ("",)
    paper: str = "the paper"
    code: str = "the published code"
    sources: Mapping[str, str] = Field(min_length=1)

    @field_validator("sources")
    @classmethod
    def _begins_with_a_kind(cls, sources: Mapping[str, str]) -> Mapping[str, str]:
        for setting, source in sources.items():
            if source.partition(":")[0] not in get_args(Kind):
                raise ValueError(f"{setting}: {source!r} must begin with one of {', '.join(get_args(Kind))}")
        return sources


class Source(NamedTuple):
    """Where a setting comes from: kind and words, and the place of the words in the file."""

    kind: Kind
    words: str
    place: tuple[int, str]


@cache
def blocks() -> tuple[Block, ...]:
    """All blocks of the file, general ones first."""
    text = files("tagmask.config").joinpath("sources.yaml").read_text(encoding="utf-8")
    return TypeAdapter(tuple[Block, ...]).validate_python(yaml.safe_load(text))


def published() -> list[str]:
    """The recipes that have sources."""
    return sorted({name for block in blocks() for name in block.recipes})


def sources(recipe: str) -> dict[str, Source]:
    """What the file says of a recipe: the source of each key, of which not every one must exist."""
    found = {}
    for number, block in enumerate(blocks()):
        if recipe in block.recipes:
            for under in block.under:
                for setting, text in block.sources.items():
                    kind, _, words = text.partition(": ")
                    found[f"{under}.{setting}".lstrip(".")] = Source(
                        cast("Kind", kind), in_words(block, kind, words), (number, setting)
                    )
    return found


def in_words(block: Block, kind: str, words: str) -> str:
    """A source as the page says it."""
    own = {"paper": block.paper, "code": block.code, "authors": "the authors", "unpublished": "not published"}
    start = own.get(kind, kind if kind in NOT_AS_PUBLISHED else "")
    return ": ".join(part for part in (start, words) if part)


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The settings that need a source: all that change a number of the run, of data those that the recipe sets."""
    idle = {"walk"} if recipe.affinity is None else set()
    return {
        key: value
        for key, value in leaves(recipe)
        if key not in LEFT_OUT
        and key.partition(".")[0] not in idle
        and (not key.startswith("data.") or key.removeprefix("data.") in recipe.data.model_fields_set)
    }


def leaves(config: Config, path: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values of all settings but those of execution; a CRF counts as one value."""
    for name, field in type(config).model_fields.items():
        value, key = getattr(config, name), f"{path}.{name}".lstrip(".")
        if isinstance(value, Config) and not isinstance(value, CrfConfig) and Role.EXECUTION not in field.metadata:
            yield from leaves(value, key)
        elif Role.EXECUTION not in field.metadata:
            yield key, value


def shown(value: Any) -> str:
    """A value as a recipe would have it."""
    if isinstance(value, CrfConfig):
        named = [name for name, preset in CRF_PRESETS.items() if preset == value]
        own = {name: each for name, each in value if each != CrfConfig.model_fields[name].default}
        return f"`{named[0]}`" if named else "`{" + ", ".join(f"{name}: {each}" for name, each in own.items()) + "}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(f'{each:g}' for each in value)}]`"
    return "`null`" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def recipe_page(name: str) -> str:
    """What is expected of a recipe, what departs from the published run, and every setting with its source."""
    known = sources(name)
    rows = [(key, shown(value), known[key]) for key, value in settings_of(load_recipe(name)).items()]
    head = comments(name)
    facts = "\n".join(f"- **{title}:** {head[title]}" for title in ("Expect", "Cost", "Data"))
    departing = table([row for row in rows if row[2].kind in NOT_AS_PUBLISHED], "why")
    used = [row for row in rows if row[2].kind not in WITHOUT_EFFECT]
    sections = [
        f"### `{block}`\n\n{table(list(group), 'source')}"
        for block, group in groupby(used, key=lambda row: row[0].partition(".")[0])
    ]
    without = table([row for row in rows if row[2].kind in WITHOUT_EFFECT], "why")
    return "\n\n".join(
        [
            facts,
            f"## What departs from the published run\n\n{head['Notes']}",
            f"These settings are not those of the published run, or it is not known what those were:\n\n{departing}",
            "## Settings",
            *sections,
            f"## Left off, or without effect\n\n{without}",
        ]
    )


def comments(name: str) -> dict[str, str]:
    """The paragraphs at the head of a recipe by their titles."""
    lines = [line[1:].strip() for line in recipe_text(name).splitlines() if line.startswith("#")]
    parts = re.split(rf"\b({'|'.join(HEADS)}):\s+", " ".join(lines))
    return {title: words.strip() for title, words in zip(parts[1::2], parts[2::2], strict=True)}


def table(rows: list[tuple[str, str, Source]], last: str) -> str:
    """Setting, value and words."""
    lines = [f"| `{key}` | {value} | {source.words or source.kind} |" for key, value, source in rows]
    return "\n".join([f"| setting | value | {last} |", "|---|---|---|", *lines])
