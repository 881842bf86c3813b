"""Formulas as MathML, which browsers draw by themselves.

MathJax and KaTeX would load scripts and fonts from elsewhere, or bring megabytes of them; images of formulas need a
LaTeX installation. MathML is text inside the page: nothing is loaded, it scales, can be copied, and works offline. A
formula that cannot be converted is a warning, and so fails the build.
"""

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)
STRANGE = re.compile(r"<m[io]>\\|<mi>&</mi>")  # a command or an alignment that was not understood


def markup(node: nodes.Element, display: str) -> str:
    """MathML of a formula."""
    text = node.astext()
    try:
        made = convert(text, display=display)
    except Exception as error:
        log.warning("formula %r: %s", text, error, location=node)
        return f"<code>{nodes.unescape(text)}</code>"
    if STRANGE.search(made):
        log.warning("formula %r is not understood: %s", text, STRANGE.findall(made), location=node)
    return made


def inline(translator: Any, node: nodes.Element) -> None:
    """A formula in a line."""
    translator.body.append(markup(node, "inline"))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.Element) -> None:
    """A formula on a line of its own."""
    translator.body.append(f'<div class="math">{markup(node, "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Join Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
