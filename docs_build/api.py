"""Pages of the API: every module of a room, in the order of its file names."""

import importlib.util
import inspect
import pkgutil
from importlib import import_module


def rooms(*names: str) -> str:
    """A section for each module of the named packages; a package that is not there yet has none."""
    found = [module for name in names if importlib.util.find_spec(name) for module in modules(name)]
    return "\n\n".join(map(section, found))


def modules(name: str) -> list[str]:
    """A package and the modules in it, without those that are private."""
    package = import_module(name)
    if name == "tagmask":
        return [name]
    inside = [] if not hasattr(package, "__path__") else pkgutil.walk_packages(package.__path__, f"{name}.")
    return [name, *(found.name for found in inside if not found.name.rpartition(".")[2].startswith("_"))]


def section(name: str) -> str:
    """Heading, what the module exports of others, and its own members."""
    module = import_module(name)
    public = [getattr(module, word) for word in getattr(module, "__all__", ())]
    lines = [f"## `{name}`", "", "```{eval-rst}", f".. automodule:: {name}"]
    foreign = [thing for thing in public if is_foreign(thing, name)]
    if name == "tagmask":
        lines += [line for word in module.__all__ for line in ("", entry(name, word, getattr(module, word)))]
    elif foreign:
        roles = ", ".join(role(thing) for thing in foreign)
        lines += ["", f"Names of other modules that stand here too: {roles}."]
    return "\n".join([*lines, "```"])


def is_foreign(thing: object, name: str) -> bool:
    """Whether a class or function comes from another module of the package."""
    home = getattr(thing, "__module__", name)
    return (inspect.isclass(thing) or inspect.isfunction(thing)) and home != name and home.startswith("tagmask.")


def entry(name: str, word: str, thing: object) -> str:
    """The directive that documents a name where people import it from."""
    kind = "function" if inspect.isfunction(thing) else "exception" if is_error(thing) else "class"
    return f".. auto{kind}:: {name}.{word}"


def is_error(thing: object) -> bool:
    """Whether a thing can be raised."""
    return isinstance(thing, type) and issubclass(thing, Exception)


def role(thing: object) -> str:
    """A link to a class or function."""
    kind = "class" if inspect.isclass(thing) else "func"
    return f":py:{kind}:`~{thing.__module__}.{thing.__qualname__}`"
