"""How ``make docs`` turns these pages into a site. It is read without a network, and so are the pages."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "docs_build"))

project = "tagmask"
author = "The tagmask maintainers"
copyright = author

extensions = [
    "myst_nb",  # which is myst_parser, and notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "generated",
    "signatures",
]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "none"
nitpick_ignore_regex = [
    ("py:class", r"(?!tagmask\.).*"),  # torch, numpy, shapes and their names have no pages here
    ("py:class", r"tagmask\..*\._\w+"),  # private bases
    ("py:class", r"tagmask\.report\.markup\.Markup"),
]

# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # notebooks are shown as they were executed; a test executes them
nb_merge_streams = True
suppress_warnings = [
    "myst.strikethrough",
    "misc.highlighting_failure",  # commands of a notebook that go on over several lines, which its lexer does not know
]

# ── API ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "ignore-module-all": True,
    "no-value": True,
}
autodoc_inherit_docstrings = False
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False

# ── looks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

html_theme = "furo"
html_title = f"tagmask {installed('tagmask')}"
html_static_path = ["static"]
html_css_files = ["tagmask.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
