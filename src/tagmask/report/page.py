"""Pages from content: one HTML file with everything in it, readable offline, without a script, by day and by night."""

import re
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tagmask.masks import overlays
from tagmask.report.content import ComparisonContent, DoctorContent, ReportContent
from tagmask.system.storage import write_bytes

TEMPLATES = {ReportContent: "run.html", ComparisonContent: "comparison.html", DoctorContent: "doctor.html"}

Content = ReportContent | ComparisonContent | DoctorContent


def write_page(path: Path, content: Content) -> Path:
    """Write a page, whole or not at all; returns its path.

    Raises:
        TagmaskError: the disk is full or the folder may not be written.
    """
    write_bytes(path, render(content).encode())
    return path


def render(content: Content) -> str:
    """The page of some content as HTML, in which every text is escaped."""
    return _environment().get_template(TEMPLATES[type(content)]).render(content=content)


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("tagmask.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "data_uri": overlays.data_uri, "color": color, "code": code}
    return found


# ── words and colours ────────────────────────────────────────────────────────────────────────────────────────────────


def percent(share: float) -> str:
    """A share in percent, one decimal, with a space that does not break."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    Example:
        >>> [duration(s) for s in (0.31, 42, 192, 7500)]
        ['0.3 s', '42 s', '3 min 12 s', '2 h 05 min']
    """
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def code(sentence: str) -> Markup:
    """A sentence as HTML, escaped; what stands between backticks is set as code.

    Example:
        >>> code("take `a < b`")
        Markup('take <code>a &lt; b</code>')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def color(value: int) -> str:
    """The colour of a mask value, as CSS writes it.

    Example:
        >>> color(1)
        'rgb(128,0,0)'
    """
    red, green, blue = overlays.class_colors(np.array([value]))[0].tolist()
    return f"rgb({red},{green},{blue})"
