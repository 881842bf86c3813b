"""Signatures as they stand in the code, and the fields of settings and records.

Shapes such as ``Float[Tensor, "b 3 h w"]`` are classes that jaxtyping makes on the fly. Their names at run time are long
and link to nothing. So signatures are taken from the source, where they read as they were written, and names of the package
in them become links.
"""

import ast
import inspect
import re
import textwrap
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel
from settings import default, limits, values
from sphinx.application import Sphinx


def on_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """The signature of a function or class, from its source."""
    if not str(getattr(thing, "__module__", "")).startswith("tagmask"):
        return None
    if what in ("class", "exception"):
        return class_signature(thing)
    if what not in ("function", "method"):
        return None
    return source_signature(inspect.unwrap(thing), bound=what == "method")


def class_signature(thing: type) -> tuple[str, str | None] | None:
    """Of a class: that of ``__init__``; nothing for records and settings, whose fields are listed."""
    made = vars(thing).get("__init__")
    listed = is_dataclass(thing) or issubclass(thing, BaseModel)
    if listed:
        return "", None
    found = None if made is None else source_signature(made, bound=True)
    return (found[0], None) if found else None


def source_signature(function: Any, bound: bool) -> tuple[str, str | None] | None:
    """Arguments and result of a function, as written."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in tree.decorator_list)
    if bound and not static and tree.args.args:
        tree.args.args = tree.args.args[1:]
    full = FullNames(function.__globals__)
    arguments = ast.unparse(full.visit(tree.args))
    return f"({arguments})", ast.unparse(full.visit(tree.returns)) if tree.returns else None


class FullNames(ast.NodeTransformer):
    """Turns names of the package into full ones; Sphinx links them and shows the last part."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """One name."""
        thing = self.known.get(node.id)
        home = getattr(thing, "__module__", "") or ""
        if inspect.isclass(thing) and home.startswith("tagmask.") and thing.__qualname__ == node.id:
            return ast.copy_location(ast.parse(f"{home}.{node.id}", mode="eval").body, node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A class that is named before it exists, in quotes; shapes stay as they are."""
        if isinstance(node.value, str) and re.fullmatch(r"[A-Z]\w+", node.value) and node.value in self.known:
            return self.visit_Name(ast.Name(node.value))
        return node


def on_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Bars are bars, not substitutions; settings get a list of their fields."""
    lines[:] = [line.replace(":raises TagmaskError:", ":raises tagmask.errors.TagmaskError:") for line in lines]
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else escaped(line) for line in lines]
    if what != "class" or not issubclass(thing, BaseModel):
        return
    for field_name in vars(thing).get("__annotations__", {}):
        field = thing.model_fields.get(field_name)
        if field is not None:
            takes = plain(f"{values(field.annotation)}{limits(field)}; default {default(field)}")
            lines += ["", f":ivar {field_name}: {field.description or ''} ({takes})"]
    lines.append("")


def escaped(line: str) -> str:
    """A line whose bars outside of code stay bars."""
    parts = line.split("``")
    return "``".join(part.replace("|", "\\|") if i % 2 == 0 else part for i, part in enumerate(parts))


def plain(markdown: str) -> str:
    """Markdown code as reStructuredText code."""
    return markdown.replace("`", "``").replace("\\|", "|")


def on_member(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what pydantic adds to every class."""
    return True if name.startswith("model_") or name in {"training", "metadata"} else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Join Sphinx."""
    app.connect("autodoc-process-signature", on_signature)
    app.connect("autodoc-process-docstring", on_docstring, priority=900)
    app.connect("autodoc-skip-member", on_member)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
