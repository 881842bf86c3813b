"""Families of settings that are told apart by their ``kind``: those of the package, and those of other packages.

Another package brings a method by an entry point in the group ``tagmask.methods``, an affinity network by one in
``tagmask.affinity_networks``. Its name is the kind; it leads to a class whose ``config_type`` is the class of its
settings. Nothing of another package is imported before a recipe names its kind.
"""

import difflib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from pydantic import GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tagmask.config.base import Config
from tagmask.errors import TagmaskError


class Kinds:
    """Makes ``Annotated[Base, Kinds(...)]`` accept every kind of a family.

    Args:
        base: what all settings of the family share.
        own: those that come with the package.
        group: of the entry points by which other packages bring more; None: there are no others.
    """

    def __init__(self, base: type[Config], own: Sequence[type[Config]], group: str | None = None) -> None:
        self.base = base
        self.own = {kind_of(each): each for each in own}
        self.group = group

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Settings are checked by the class of their kind, and written out with all fields of that class."""
        written = core_schema.plain_serializer_function_ser_schema(
            lambda value, info: value.model_dump(mode=info.mode), info_arg=True
        )
        return core_schema.no_info_plain_validator_function(self._checked, serialization=written)

    def names(self) -> list[str]:
        """Every kind that can be written, those of the package first."""
        return [*self.own, *(point.name for point in self._brought() if point.name not in self.own)]

    def named(self, kind: str) -> type[Config] | None:
        """The class of a kind's settings; None if nobody brings it."""
        if kind in self.own:
            return self.own[kind]
        if self.group is None or kind not in self.names():
            return None
        return brought(self.group, kind, self.base).config_type

    def listed(self) -> list[tuple[str, str, str]]:
        """Kind, what it is in a line, and where it comes from, of every kind; nothing is imported for it."""
        own = [(kind, (config.__doc__ or "").splitlines()[0], "tagmask") for kind, config in self.own.items()]
        points = self._brought()
        hidden = {
            point.name: "; not reachable: tagmask has one of this name" for point in points if point.name in self.own
        }
        return own + [(p.name, f"{p.value}{hidden.get(p.name, '')}", package_of(p)) for p in points]

    def _brought(self) -> Sequence[EntryPoint]:
        return () if self.group is None else points(self.group)

    def _checked(self, value: object) -> Config:
        if isinstance(value, self.base):
            return value
        if not isinstance(value, dict):
            raise PydanticCustomError("not_settings", "expected keys and values, for example {kind: ...}")
        if "kind" not in value:
            raise PydanticCustomError("no_kind", "needs a `kind`; known: {known}", {"known": ", ".join(self.names())})
        kind = str(value["kind"])
        chosen = self.named(kind)
        if chosen is None:
            near = difflib.get_close_matches(kind, self.names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            facts = {"kind": kind, "known": ", ".join(self.names()), "hint": hint}
            raise PydanticCustomError("unknown_kind", "unknown kind '{kind}'; known: {known}{hint}", facts)
        return chosen.model_validate(value)


def kind_of(config: type[Config]) -> str:
    """The ``kind`` of a class of settings: the default of the field of that name."""
    return config.model_fields["kind"].default


# ── other packages ───────────────────────────────────────────────────────────────────────────────────────────────────


def points(group: str) -> Sequence[EntryPoint]:
    """The entry points of a group, by name."""
    return sorted(entry_points(group=group), key=lambda point: point.name)


@cache
def brought(group: str, kind: str, base: type[Config]) -> Any:
    """The class that another package brings for a kind.

    Args:
        group: of the entry point.
        kind: name of the entry point.
        base: what the settings of the class must be built on.

    Raises:
        TagmaskError: nobody or more than one package brings it, it cannot be imported, or it has no fitting settings.
    """
    found = [point for point in points(group) if point.name == kind]
    if len(found) != 1:
        who = ", ".join(package_of(point) for point in found) or "no installed package"
        raise TagmaskError(f"{kind!r} of {group} is brought by {who}; install, or keep, exactly one package with it.")
    where = f"{kind!r} of {group} ({found[0].value}, package {package_of(found[0])})"
    try:
        loaded = found[0].load()
    except Exception as error:  # whatever a foreign module may raise while it is imported
        raise TagmaskError(
            f"{where} cannot be imported: {type(error).__name__}: {error}; repair or uninstall that package."
        ) from error
    settings = getattr(loaded, "config_type", None)
    if not (isinstance(settings, type) and issubclass(settings, base)) or kind_of(settings) != kind:
        raise TagmaskError(
            f"{where} has no fitting settings; give the class an attribute `config_type`: a subclass of "
            f'tagmask.config.{base.__name__} with `kind: Literal["{kind}"] = "{kind}"`.'
        )
    return loaded


def package_of(point: EntryPoint) -> str:
    """Name and version of the installed package that an entry point belongs to."""
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"


# ── looking up ───────────────────────────────────────────────────────────────────────────────────────────────────────


def models_of(field: FieldInfo, kind: object = None) -> list[type[Config]]:
    """The classes of settings that a field may hold; of those of other packages only the one of ``kind``."""
    return _models_in((field.annotation, *field.metadata), kind)


def _models_in(parts: Sequence[Any], kind: object) -> list[type[Config]]:
    """The classes named by the parts of an annotation; a family stands for its base."""
    families = [part for part in parts if isinstance(part, Kinds)]
    if families:
        named = families[0].named(kind) if isinstance(kind, str) else None
        return list(dict.fromkeys([*families[0].own.values(), *([] if named is None else [named])]))
    own = [part for part in parts if isinstance(part, type) and issubclass(part, Config)]
    return own + [model for part in parts for model in _models_in(get_args(part), kind)]
