"""What there is to choose from: recipes, methods, affinity networks."""

from typing import Annotated

import typer

from tagmask.cli.words import Command, show_table


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="Show this recipe's text.")] = None,
) -> None:
    """List the recipes with a line each, or print the YAML of one."""
    from tagmask.config.recipes import recipe_names, summary, text_with_wrappers  # noqa: PLC0415

    if name is None:
        show_table(("recipe", "what it does"), [(known, summary(known)) for known in recipe_names()])
    else:
        typer.echo(text_with_wrappers(name), nl=False)


def methods() -> None:
    """List those of the package and those of other installed packages."""
    from tagmask.config.affinity import AFFINITY_KINDS  # noqa: PLC0415
    from tagmask.config.methods import METHOD_KINDS  # noqa: PLC0415

    for setting, kinds in {"method.kind": METHOD_KINDS, "affinity.kind": AFFINITY_KINDS}.items():
        show_table((setting, "what it is", "from"), kinds.listed())


COMMANDS = (
    Command("recipes", "List the recipes, or show one.", "tagmask recipes folder-cpu > mine.yaml", recipes),
    Command("methods", "List the methods and affinity networks that recipes can name.", "tagmask methods", methods),
)
