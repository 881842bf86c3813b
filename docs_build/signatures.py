"""Signatures as they stand in the code, and the fields of settings and records.

Shapes such as ``Float[Tensor, "b 3 h w"]`` are classes that jaxtyping makes on the fly. Their names at run time are
long and link to nothing. So signatures are taken from the source, where they read as they were written, and names of
the package in them become links.
"""

import ast
import inspect
import re
import sys
import textwrap
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel
from settings import default, limits, values
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject


def on_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """The signature of a function or class, from its source."""
    if not str(getattr(thing, "__module__", "")).startswith("tagmask"):
        return None
    if what in ("class", "exception"):
        return class_signature(thing) if signature is not None else None
    if what not in ("function", "method"):
        return None
    return source_signature(inspect.unwrap(thing), bound=what == "method")


def class_signature(thing: type) -> tuple[str, str | None] | None:
    """Of a class: that of ``__init__``; nothing for records and settings, whose fields are listed."""
    made = vars(thing).get("__init__")
    listed = is_dataclass(thing) or issubclass(thing, BaseModel)
    found = None if listed or made is None else source_signature(made, bound=True)
    return (found[0], None) if found else ("", None)


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
    """Bars are bars, errors are links, indented text stays as it is, and records and settings tell their fields."""
    lines[:] = [line.replace(":raises TagmaskError:", ":raises tagmask.errors.TagmaskError:") for line in lines]
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else escaped(line) for line in lines]
    if what == "module":
        lines[:] = [literal(line, rest) for line, rest in zip(lines, [*lines[2:], "", ""], strict=True)]
    if what != "class":
        return
    bases = [base for base in thing.__bases__ if base.__module__.startswith("tagmask.") and base.__name__[0] != "_"]
    if bases:
        roles = ", ".join(f":py:class:`~{base.__module__}.{base.__qualname__}`" for base in bases)
        lines[:0] = [f"Base: {roles}.", ""]
    lines += ["", *(setting_lines(thing) if issubclass(thing, BaseModel) else field_lines(thing)), ""]


def setting_lines(thing: type[BaseModel]) -> list[str]:
    """The fields of a block of settings: what they mean, which values they take, and their default."""
    found = [(name, thing.model_fields.get(name)) for name in vars(thing).get("__annotations__", {})]
    return [
        f":ivar {name}: {plain(field.description or '')} "
        f"({plain(f'{values(field.annotation)}{limits(field)}; default {default(field)}')})"
        for name, field in found
        if field is not None
    ]


def field_lines(thing: type) -> list[str]:
    """The types of the fields of a record, as they stand in the code."""
    if not is_dataclass(thing):
        return []
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    known = vars(sys.modules[thing.__module__])
    fields = [node for node in getattr(tree, "body", ()) if isinstance(node, ast.AnnAssign)]
    return [
        f":vartype {field.target.id}: {ast.unparse(FullNames(known).visit(field.annotation))}"
        for field in fields
        if isinstance(field.target, ast.Name)
    ]


def literal(line: str, rest: str) -> str:
    """A line that announces indented text: such text is kept as it stands."""
    return f"{line}:" if re.search(r"\w:$", line) and rest.startswith("    ") else line


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
    next(field for field in PyObject.doc_field_types if field.name == "variable").label = "Attributes"
    app.connect("autodoc-process-signature", on_signature)
    app.connect("autodoc-process-docstring", on_docstring, priority=900)
    app.connect("autodoc-skip-member", on_member)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
