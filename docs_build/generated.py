"""Parts of pages that are made while the site is built, so that they cannot go stale.

A page asks for such a part with a fence::

    ```{generated} commands
    ```

The first word names a function of ``PARTS``, which returns Markdown; further words are its arguments. The text takes
the place of the fence before the page is parsed, so headings and links in it are like those of the page.

Pages are written so that their links work where the files lie. Where a link leaves ``docs``, the site shows what it
has.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from api import rooms
from commands import commands
from docutils import nodes
from published import recipe_page
from settings import recipes, settings
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```\{generated\} (.+)\n(?:(?!```).*\n)*```$", re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:|[#/<])([^)\s#]+)(#[^)\s]*)?\)")
PLACES = {
    "README.md": "/index.md",
    "CONTRIBUTING.md": "/contributing.md",
    "CHANGELOG.md": "/changelog.md",
    "SECURITY.md": "/security.md",
    "AGENTS.md": "/contributing.md",
    "benchmarks/LOG.md": "/experiments.md",
    "benchmarks/records/README.md": "/records.md",
    "benchmarks/records": "/records.md",
}


# ── files beside the pages ───────────────────────────────────────────────────────────────────────────────────────────


def file(name: str, below: str = "") -> str:
    """A Markdown file of the repository; ``below`` makes its headings one level smaller."""
    path = ROOT / name
    text = relinked(path.read_text(encoding="utf-8"), path.parent)
    return smaller(text) if below else text


def smaller(text: str) -> str:
    """The text with every heading one level down; code stays as it is."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        re.sub(r"^#", "##", part, flags=re.MULTILINE) if i % 2 == 0 else part for i, part in enumerate(parts)
    )


def records() -> str:
    """All records of benchmarks, newest first."""
    folders = sorted((p for p in (ROOT / "benchmarks" / "records").iterdir() if p.is_dir()), reverse=True)
    return "\n\n".join(map(record, folders))


def record(folder: Path) -> str:
    """One record below a label of its name; its front lines become a list."""
    text = relinked((folder / "README.md").read_text(encoding="utf-8"), folder)
    text = re.sub(r"^Command: (.+)$", r"```sh\n\1\n```", text, count=1, flags=re.MULTILINE)
    front, blank, rest = text.partition("\n\n")
    facts, gap, prose = rest.partition("\n\n")
    facts = re.sub(r"^([A-Z][a-z]+): ", r"- **\1:** ", facts, flags=re.MULTILINE)
    return f"({label(folder.name)})=\n#{front}{blank}Record: `{folder.name}`\n\n{facts}{gap}{prose}"


def label(name: str) -> str:
    """The label of a record."""
    return f"record-{name}"


def relinked(text: str, folder: Path) -> str:
    """The text with the links that leave ``docs`` turned to what the site has."""

    def turn(found: re.Match[str]) -> str:
        target = (folder / found[1]).resolve()
        inside = target.is_relative_to(DOCS)
        if not target.exists() or (inside and folder.is_relative_to(DOCS)):
            return found[0]
        if inside:
            return f"](/{target.relative_to(DOCS).as_posix()}{found[2] or ''})"
        return f"]({place(target)}{found[2] or ''})"

    return LINK.sub(turn, text)


def place(target: Path) -> str:
    """Where the site shows a file that lies outside ``docs``: a page, or a download."""
    name = target.relative_to(ROOT).as_posix()
    if name in PLACES:
        return PLACES[name]
    if name.startswith("benchmarks/records/"):
        return f"#{label(Path(name).parts[2])}"
    return f"/../{name}" if target.is_file() else "/rooms.md"


# ── joining ──────────────────────────────────────────────────────────────────────────────────────────────────────────

PARTS: dict[str, Callable[..., str]] = {
    "commands": commands,
    "file": file,
    "recipe_page": recipe_page,
    "recipes": recipes,
    "records": records,
    "rooms": rooms,
    "settings": settings,
}


def made(fence: re.Match[str]) -> str:
    """The text that takes the place of a fence."""
    name, *arguments = fence[1].split()
    return PARTS[name](*arguments)


def on_read(app: Sphinx, page: str, content: list[str]) -> None:
    """Fill the fences of a page, and turn its links."""
    source = Path(str(app.env.doc2path(page)))
    content[0] = FENCE.sub(made, relinked(content[0], source.parent))


def on_resolved(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Link the functions and classes that pages name without the package, and let long names in tables break."""
    known = app.env.get_domain("py").data["objects"]
    for code in list(tree.findall(nodes.literal)):
        target = known.get(f"tagmask.{code.astext()}")
        in_table = any(isinstance(parent, nodes.entry) for parent in parents(code))
        if in_table and code.astext().count(".") > 1:
            code[:] = breakable(code.astext())
        if target and target.objtype != "module" and not isinstance(code.parent, nodes.reference):
            link = make_refnode(app.builder, page, target.docname, target.node_id, code.deepcopy())
            code.replace_self(link)


def parents(node: nodes.Node) -> Iterator[nodes.Node]:
    """What a node lies in, from the inside out."""
    while node.parent is not None:
        node = node.parent
        yield node


def breakable(name: str) -> list[nodes.Node]:
    """A dotted name that may be broken behind its dots; nothing is added to what one copies."""
    first, *rest = name.split(".")
    found: list[nodes.Node] = [nodes.Text(first)]
    for part in rest:
        found += [nodes.Text("."), nodes.raw("", "<wbr>", format="html"), nodes.Text(part)]
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    """Join Sphinx."""
    app.connect("source-read", on_read)
    app.connect("doctree-resolved", on_resolved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
