"""The base of all settings, and which of them make a run what it is."""

from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _word(value: object) -> object:
    """YAML takes the word ``no`` for a truth value."""
    return "no" if value is False else value


MixedPrecision = Annotated[Literal["no", "bf16", "auto"], BeforeValidator(_word)]
"""See ``networks.mixed_precision``."""

MIXED_PRECISION = (
    "`no`: float32; `bf16`: convolutions and products in bfloat16; `auto`: that on processors and GPUs with "
    "instructions for it, and float32 elsewhere."
)


class Role(Enum):
    """What a setting may change; one without a role changes what is learned, and with it every number of a run."""

    EXECUTION = "how a run is carried out: no number depends on it"
    SCORING = "how a run is scored and shown: what has been learned stays"


class Config(BaseModel):
    """Base of all settings: frozen, unknown keys refused.

    A field is given its role as ``Annotated[int, Role.EXECUTION]``; the role of a block holds for all that is in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


def settings_of(config: Config, role: Role | None) -> dict[str, Any]:
    """The settings of one role, nested as they are in the config and as plain JSON values.

    Args:
        config: a recipe, or any block of settings.
        role: of the settings; None: those that identify a run.

    Example:
        >>> from typing import Annotated
        >>> class Trip(Config):
        ...     to: str
        ...     by: Annotated[str, Role.EXECUTION] = "train"
        >>> settings_of(Trip(to="Rome"), None), settings_of(Trip(to="Rome"), Role.EXECUTION)
        ({'to': 'Rome'}, {'by': 'train'})
    """
    return _chosen(config, config.model_dump(mode="json"), role)


def _chosen(config: Config, values: dict[str, Any], role: Role | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        own = next((each for each in field.metadata if isinstance(each, Role)), None)
        inside = getattr(config, name)
        if own is None and isinstance(inside, Config):
            chosen = _chosen(inside, values[name], role)
            if chosen or role is None:
                found[name] = chosen
        elif own is role:
            found[name] = values[name]
    return found
