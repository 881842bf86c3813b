"""Recipes and settings as Markdown tables, read from the recipes and from the models that check them."""

import importlib
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from tagmask.config import Recipe, Role
from tagmask.config.kinds import models_of
from tagmask.config.recipes import recipe_names, recipe_text, summary


def recipes() -> str:
    """All recipes that come with the package."""
    rows = [recipe_row(name) for name in recipe_names()]
    head = ["| recipe | what it does | method | affinities | network |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def recipe_row(name: str) -> str:
    """The line of one recipe."""
    content = yaml.safe_load(recipe_text(name))
    method = content["method"]
    made = method["kind"] if method["kind"] != "ppc" else f"{method['base']['kind']} with ppc"
    affinity = (content.get("affinity") or {}).get("kind", "none")
    backbone = content["backbone"].get("model", content["backbone"]["kind"])
    network = content["segmenter"].get("kind", "deeplab_v3plus")
    return f"| `{name}` | {summary(name)} | {made} | {affinity} | {backbone}; {network} |"


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def settings() -> str:
    """Every setting of a recipe, a section for each block and each kind of it."""
    return "\n\n".join(block(path, model) for path, model in blocks("", Recipe))


def blocks(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """A model and all below it, depth first, each with the path it has in a recipe; the same model once."""
    seen: set[type[BaseModel]] = set()

    def walk(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
        if model in seen:
            return
        seen.add(model)
        yield path, model
        for name, field in model.model_fields.items():
            for inner in models_of(field):
                yield from walk(f"{path}.{name}" if path else name, inner)

    return walk(path, model)


def block(path: str, model: type[BaseModel]) -> str:
    """A heading, the model's sentence and its table."""
    kind = model.model_fields.get("kind")
    name = f"`{path}`" if path else "The recipe"
    if kind is not None and isinstance(kind.default, str) and len(get_args(kind.annotation)) == 1:
        name = f"{name}: `{kind.default}`"
    text = (model.__doc__ or "").strip().splitlines()[0]
    return f"## {name}\n\n{text}\n\n{table(model)}"


def table(model: type[BaseModel]) -> str:
    """Name, values, default and meaning of each field."""
    rows = [
        f"| `{name}` | {values(field.annotation)}{limits(field)} | {default(field)} | {meaning(field)} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| setting | values | default | meaning |", "|---|---|---|---|", *rows])


def meaning(field: Any) -> str:
    """The sentence of a field, and whether it may be changed while a run goes on."""
    free = any(isinstance(each, Role) for each in field.metadata)
    return f"{field.description or ''}{' May change at any time.' if free else ''}".strip().replace("|", "\\|")


def default(field: Any) -> str:
    """The default of a field as one would write it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "`null`"
    if isinstance(value, BaseModel):
        return "its own defaults"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`".replace("|", "\\|")


def limits(field: Any) -> str:
    """The range of a number."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "multiple_of": "multiple of"}
    found = [
        f"{sign} {getattr(rule, name)}" for rule in field.metadata for name, sign in signs.items() if has(rule, name)
    ]
    return f", {', '.join(found)}" if found else ""


def has(rule: Any, name: str) -> bool:
    """Whether a rule of pydantic sets this limit."""
    return getattr(rule, name, None) is not None


def values(annotation: Any) -> str:
    """The values that a field takes, in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "`null`"
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is Annotated:
        return values(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(values, parts)))
    if origin is tuple:
        return f"list of {values(parts[0])}" if parts[1:] == (...,) else f"{len(parts)} of {values(parts[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a block"
    return {int: "integer", float: "number", str: "text", bool: "`true`, `false`"}.get(annotation, str(annotation))


def model_named(path: str) -> type[BaseModel]:
    """A model by its full name."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)
