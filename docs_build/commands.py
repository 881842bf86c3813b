"""The command line as Markdown, read from the commands themselves."""

import inspect
from typing import Any, Literal, get_args, get_origin

import typer.main

from tagmask.cli import app


def commands() -> str:
    """A section for each command, in the order of ``tagmask --help``."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="tagmask")
    return "\n\n".join(section(group.get_command(context, name)) for name in group.list_commands(context))


def section(command: Any) -> str:
    """What a command does, how it is called, and its arguments and options."""
    words, example = described(command)
    rows = [row(parameter) for parameter in command.params if parameter.name != "help"]
    table = "\n".join(["| argument or option | default | meaning |", "|---|---|---|", *rows]) if rows else ""
    usage = " ".join(["tagmask", command.name, *(part for p in command.params if (part := shown(p)))])
    return f"## {command.name}\n\n{words}\n\n```text\n{usage}\n```\n\n{example}{table}"


def described(command: Any) -> tuple[str, str]:
    """The help text of a command, and the example that it ends with, as a block."""
    text = inspect.cleandoc(f"{command.help or ''}\n\n{command.epilog or ''}".replace("\b", ""))
    lines = [line.strip() for line in text.splitlines()]
    examples = [line.removeprefix("Example:").strip().strip("`") for line in lines if is_example(line)]
    words = "\n".join(line for line in lines if not is_example(line) and line != "Example:").strip()
    return words, "".join(f"```sh\n{example}\n```\n\n" for example in examples)


def is_example(line: str) -> bool:
    """Whether a line of help is a call of the command."""
    return line.removeprefix("Example:").strip().strip("`").startswith(("tagmask ", "$ tagmask "))


def shown(parameter: Any) -> str:
    """A parameter as it stands in a call; options that may be left out are in the table alone."""
    name = placeholder(parameter)
    if parameter.param_type_name == "argument":
        return name if parameter.required else f"[{name}]"
    return f"{parameter.opts[0]} {name}" if parameter.required else ""


def placeholder(parameter: Any) -> str:
    """The word that stands for a value."""
    return (parameter.metavar or parameter.name or "").strip("[]").upper()


def row(parameter: Any) -> str:
    """The line of a parameter in the table."""
    if parameter.param_type_name == "argument":
        name = f"`{placeholder(parameter)}`"
    else:
        value = f" {placeholder(parameter)}" if parameter.metavar else ""
        name = " ".join(f"`{option}{value}`" for option in [*parameter.opts, *parameter.secondary_opts])
    annotation = parameter.type_descriptor.annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    text = (parameter.help or "").replace("|", "\\|")
    if choices:
        text = f"{text} One of {', '.join(f'`{choice}`' for choice in choices)}."
    return f"| {name} | {default(parameter)} | {text} |"


def default(parameter: Any) -> str:
    """The default in words."""
    if parameter.required:
        return "required"
    value = parameter.default
    value = value() if callable(value) else value
    if isinstance(value, bool):
        return f"`{(parameter.opts if value else parameter.secondary_opts or ['off'])[0]}`"
    return f"`{value}`" if isinstance(value, str | int | float) or hasattr(value, "parts") else ""
