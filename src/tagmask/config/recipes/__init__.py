"""Named experiments, one YAML file each, and how they become a checked ``Recipe``."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tagmask.config import WRAPPERS, Config, MapsConfig, MasksConfig, Recipe, Role, TrainingConfig, settings_of
from tagmask.config.exchange import with_exchanged_models
from tagmask.config.kinds import kind_of, models_of
from tagmask.errors import TagmaskError

# Names of settings that say how a run is carried out, and may stand for those of all stages.
_EXECUTION = frozenset(
    name
    for block in (TrainingConfig, MapsConfig, MasksConfig)
    for name, field in block.model_fields.items()
    if Role.EXECUTION in field.metadata
)

_RULE = "masks.background.rule"
_LENGTHS = {"steps": "epochs", "epochs": "steps"}  # of a training: one of them is set


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(
        f.name.removesuffix(".yaml") for f in files("tagmask.config.recipes").iterdir() if f.name.endswith(".yaml")
    )


def recipe_text(name: str) -> str:
    """The YAML of a packaged recipe, or of a file.

    Raises:
        TagmaskError: there is neither.
    """
    if name in recipe_names():
        return (files("tagmask.config.recipes") / f"{name}.yaml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
        raise TagmaskError(
            f"there is no file {name}; give the path of a recipe, or one of: {', '.join(recipe_names())}"
        )
    near = difflib.get_close_matches(name, recipe_names(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise TagmaskError(
        f"no recipe {name!r}; known: {', '.join(recipe_names())}, or give the path of a .yaml file.{hint}"
    )


def text_with_wrappers(name: str) -> str:
    """The YAML of a recipe, with a line for each wrapper that its name puts around the method.

    Raises:
        TagmaskError: there is no such recipe.
    """
    plain, wrappers = split_name(name)
    lines = [f"# +{kind}: all of `method` is the base of a method of kind {kind}\n" for kind in wrappers]
    return "".join([recipe_text(plain), *lines])


def summary(name: str) -> str:
    """The first comment line of a packaged recipe."""
    return recipe_text(name).splitlines()[0].lstrip("# ").rstrip()


def load_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key.subkey=value`` settings.

    Args:
        name: a packaged recipe or a YAML file; ``+ppc`` behind it puts PPC around the method, with default settings,
            with a growth of the contrast over a quarter of the steps. Other wrappers are named by their kind alike.
        settings: changes; values are read as YAML. How a run is carried out can be said for all stages at once by the
            last part of a key: ``workers=0`` for ``training.workers=0``, ``maps.workers=0`` and so on.

    Raises:
        TagmaskError: unknown recipe, unknown key, or a value that does not fit.
    """
    plain, wrappers = split_name(name)
    try:
        content = yaml.safe_load(recipe_text(plain))
    except yaml.YAMLError as error:
        raise TagmaskError(f"recipe {name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise TagmaskError(f"recipe {name} holds {type(content).__name__}; expected keys and values.")
    for kind in wrappers:
        content = _wrapped(plain, content, kind)
    return _checked(name, content, settings)


def changed_recipe(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """A recipe with ``key.subkey=value`` settings applied.

    Raises:
        TagmaskError: unknown key, or a value that does not fit.
    """
    return _checked(recipe.name, recipe.model_dump(mode="json"), settings)


def _checked(name: str, content: dict[str, Any], settings: Sequence[str]) -> Recipe:
    for_all = [setting for setting in settings if _key(setting) in _EXECUTION - Recipe.model_fields.keys()]
    own = [setting for setting in settings if setting not in for_all]
    if not for_all:
        return _validated(name, content, own)
    places = list(_leaves(settings_of(_validated(name, deepcopy(content), own), Role.EXECUTION)))
    spread = [f"{place}={setting.partition('=')[2]}" for setting in for_all for place in _ending(places, _key(setting))]
    closer = [setting for setting in own if any(_ending([_key(setting)], _key(each)) for each in for_all)]
    return _validated(name, content, [*own, *spread, *closer])


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()


def _leaves(settings: Mapping[str, Any]) -> Iterator[str]:
    """The dotted keys of nested settings."""
    for key, value in settings.items():
        yield from (f"{key}.{leaf}" for leaf in _leaves(value)) if isinstance(value, dict) else (key,)


def _ending(places: Iterable[str], name: str) -> list[str]:
    return [place for place in places if place.rpartition(".")[2] == name]


def _validated(name: str, content: dict[str, Any], settings: Sequence[str]) -> Recipe:
    before = deepcopy(content)
    for setting in settings:
        _apply(content, setting)
    keys = [*map(_key, settings)]
    for key in keys:
        _leave_out_the_other_length(content, key, keys)
    _leave_out_the_factor_of_no_background(content, keys)
    content = with_exchanged_models(before, content, keys)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise TagmaskError(_explain(name, error, content, settings)) from error


def changes_of(recipe: Recipe) -> list[str] | None:
    """The ``key=value`` settings that make the packaged recipe of its name this one; None if no recipe has its name.

    Example:
        >>> changes_of(load_recipe("toy", ["training.steps=7", "affinity=null"]))
        ['training.steps=7', 'affinity=null']
    """
    if split_name(recipe.name)[0] not in recipe_names():
        return None
    wanted = recipe.model_dump(mode="json")
    changes = _changes(load_recipe(recipe.name).model_dump(mode="json"), wanted)
    # A model among them leaves out what the recipe says of its own, some of which may be wanted.
    return changes + _changes(load_recipe(recipe.name, changes).model_dump(mode="json"), wanted)


def _changes(before: Any, after: Any, path: str = "") -> list[str]:
    same_kind = isinstance(before, dict) and isinstance(after, dict) and before.get("kind") == after.get("kind")
    if same_kind:
        return [c for key in after for c in _changes(before.get(key), after[key], f"{path}.{key}".lstrip("."))]
    return [] if before == after else [f"{path}={json.dumps(after, ensure_ascii=False)}"]


def split_name(name: str) -> tuple[str, list[str]]:
    """The recipe that a name begins with, and the kinds of the wrappers that are put around its method.

    Example:
        >>> split_name("toy+ppc"), split_name("c++/mine.yaml")
        (('toy', ['ppc']), ('c++/mine.yaml', []))
    """
    plain, plus, kind = name.rpartition("+")
    if not plus or not kind.isidentifier():
        return name, []
    inner, wrappers = split_name(plain)
    return inner, [*wrappers, kind]


def _wrapped(name: str, content: dict[str, Any], kind: str) -> dict[str, Any]:
    """The content of a recipe with a wrapper around its method."""
    known = {kind_of(wrapper): wrapper for wrapper in WRAPPERS}
    if kind not in known:
        raise TagmaskError(f"no method {kind!r} can be put around another; known: {', '.join(known)}")
    method = content.get("method")
    if isinstance(method, dict) and method.get("kind") in known:
        raise TagmaskError(f"recipe {name!r} has {method['kind'].upper()} already; leave out +{kind}")
    wrapped = {"kind": kind, **known[kind].put_on, "base": method}
    return content | {"name": f"{content.get('name')}+{kind}", "method": wrapped}


def _apply(content: dict[str, Any], setting: str) -> None:
    """Set one dotted key, in place."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise TagmaskError(f"--set {setting!r}: expected key=value, for example --set training.rate=0.01")
    *parents, last = key.strip().split(".")
    place = content
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise TagmaskError(f"--set {key}: {parent!r} is a single value, it has no setting {last!r}.")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TagmaskError(f"--set {setting!r}: the value is not valid YAML: {error}") from error


def _leave_out_the_other_length(content: dict[str, Any], key: str, keys: Sequence[str]) -> None:
    """Where a training's steps are set its epochs go, in place, unless they are set too; and the other way round."""
    *parents, last = key.split(".")
    if last not in _LENGTHS:
        return
    other, block = _LENGTHS[last], content
    for parent in parents:
        block = block.get(parent) if isinstance(block, dict) else None
    if isinstance(block, dict) and block.get(last) is not None and ".".join([*parents, other]) not in keys:
        block |= {other: None} if other in block else {}


def _leave_out_the_factor_of_no_background(content: dict[str, Any], keys: Sequence[str]) -> None:
    """Where the background is taken away its factor goes, in place, unless it is set too."""
    masks = content.get("masks")
    background = masks.get("background") if isinstance(masks, dict) else None
    by_hand = {"masks", "masks.background", "masks.background.factor"}.intersection(keys)
    if isinstance(background, dict) and background.get("rule") == "none" and _RULE in keys and not by_hand:
        background.pop("factor", None)


def _explain(name: str, error: ValidationError, content: dict[str, Any], settings: Sequence[str]) -> str:
    reasons: dict[str, list[str]] = {}
    for problem in error.errors():
        where = ".".join(_keys(problem, content)) or "the whole recipe"
        reasons.setdefault(where, []).append(_reason(problem, content))
    deepest = [where for where in reasons if not any(other.startswith(f"{where}.") for other in reasons)]
    lines = [f"recipe {name} has {len(deepest)} setting(s) that do not fit:"]
    lines += [f"  {where}: {'; or: '.join(reasons[where])}" for where in deepest]
    kinds = [key for key in map(_key, settings) if key.endswith(".kind")]
    if kinds:
        block = kinds[0].removesuffix(".kind")
        lines.append(
            f"{kinds[0]} leaves the settings of the other kind standing; give the whole block to change the kind: "
            f'--set "{block}={{kind: ..., ...}}"'
        )
    return "\n".join(lines)


def _keys(problem: Any, content: Any) -> list[str]:
    """The keys of a problem's place as one writes them: pydantic names kinds and types there as if they were keys."""
    keys: list[str] = []
    place = problem["loc"]
    for depth, part in enumerate(place, 1):
        is_missing = problem["type"] == "missing" and depth == len(place)
        if isinstance(content, dict) and (part in content or is_missing):
            content = content.get(part)
        elif isinstance(content, list) and isinstance(part, int):
            content = content[part]
        else:
            continue
        keys.append(str(part))
    return keys


def _reason(problem: Any, content: Any) -> str:
    if problem["type"] == "extra_forbidden":
        *place, key = problem["loc"]
        known = [name for model in _models_at(place, content) for name in model.model_fields]
        near = difflib.get_close_matches(str(key), known, n=1)
        return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return "required, but not given"
    if problem["type"] == "model_type":
        known = [name for model in _models_at(problem["loc"], content) for name in model.model_fields]
        return f"Input should be a block of {', '.join(known)} (got {problem['input']!r})"
    message = problem["msg"].removeprefix("Value error, ")
    return message if isinstance(problem["input"], dict) else f"{message} (got {problem['input']!r})"


def _models_at(place: Sequence[int | str], content: Any) -> list[type[Config]]:
    """The settings that may stand at a place of the content; pydantic names kinds there as if they were keys."""
    models: list[type[Config]] = [Recipe]
    for part in place:
        below = [model.model_fields[str(part)] for model in models if str(part) in model.model_fields]
        if below:
            content = content.get(part) if isinstance(content, dict) else None
        kind = content.get("kind") if isinstance(content, dict) else None
        if below:
            models = [found for field in below for found in models_of(field, kind)]
        models = [model for model in models if "kind" in model.model_fields and kind_of(model) == kind] or models
    return models
