"""The pages as a site: it builds without a warning, loads nothing from elsewhere, and shows every formula."""

import html
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from test_docs import DOCS, OWN, ROOT, ids, prose

NEEDED = ("sphinx", "furo", "myst_nb", "latex2mathml")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
LOADING = {"script": ("src",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src", "srcset")}
LOADED_LINKS = {"stylesheet", "icon", "shortcut icon", "preload", "prefetch", "preconnect", "dns-prefetch"}
FOREIGN = re.compile(r"^(https?:)?//")
IN_STYLES = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)")


class Loaded(HTMLParser):
    """Collects the addresses that a browser loads by itself when it opens a page; links to click are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.found += [given[name] for name in LOADING.get(tag, ()) if name in given]
        if tag == "link" and given.get("rel", "") in LOADED_LINKS:
            self.found.append(given.get("href", ""))
        self.found += IN_STYLES.findall(given.get("style", ""))


def loaded(page: str) -> list[str]:
    parser = Loaded()
    parser.feed(page)
    return [
        *parser.found,
        *(style for block in re.findall(r"<style.*?</style>", page, re.S) for style in IN_STYLES.findall(block)),
    ]


def test_the_check_of_what_is_loaded_can_fail() -> None:
    page = '<link rel="stylesheet" href="//a/b.css"><img src="c.png"><a href="https://d"><style>@import "https://e";</style>'
    assert [name for name in loaded(page) if FOREIGN.match(name)] == ["//a/b.css", "https://e"]


# ── the built site ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The site, built as ``make docs`` builds it."""
    if MISSING:
        pytest.skip(f"{', '.join(MISSING)} not installed; `make docs` installs the documentation group")
    out = tmp_path_factory.mktemp("site")
    how = ["--quiet", "--fresh-env", "--fail-on-warning", "--keep-going", "--nitpicky"]
    words = [sys.executable, "-m", "sphinx", *how, "-d", str(out / "trees"), str(DOCS), str(out / "html")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.mark.slow
def test_every_page_is_built(site: Path) -> None:
    for page in OWN:
        if page.is_relative_to(DOCS):
            assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file()


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert pages
    for page in pages:
        assert [name for name in loaded(page.read_text(encoding="utf-8")) if FOREIGN.match(name)] == [], page
    for style in site.rglob("*.css"):
        assert IN_STYLES.findall(style.read_text(encoding="utf-8")) == [], style


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in OWN if page.parent.name == "methods"], ids=ids)
def test_formulas_are_drawn(site: Path, page: Path) -> None:
    text = (site / page.relative_to(DOCS)).with_suffix(".html").read_text(encoding="utf-8")
    formulas = len(re.findall(r"\$\$.+?\$\$|\$[^$\n]+\$", prose(page), re.DOTALL))
    assert text.count("<math ") == formulas
    assert "\\operatorname" not in text
    assert page.name == "index.md" or formulas


@pytest.mark.slow
def test_shapes_stand_in_signatures_as_in_the_code(site: Path) -> None:
    page = html.unescape(re.sub(r"<[^>]+>", "", (site / "api" / "contracts.html").read_text(encoding="utf-8")))
    assert "Float[Tensor, 'b d p q']" in page
    assert "jaxtyping." not in page


@pytest.mark.slow
def test_pages_link_the_functions_they_name(site: Path) -> None:
    page = (site / "methods" / "cam.html").read_text(encoding="utf-8")
    assert 'href="../api/methods.html#tagmask.methods.cam.tag_loss"' in page
