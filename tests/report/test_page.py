import dataclasses
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tagmask.report.content import Example, ScoreRow
from tagmask.report.markup import VOID
from tagmask.report.page import ReportContent, write_report

EVIL = "<script>alert(1)</script>\"'&$body"
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 255, (60, 80, 3), np.uint8)
MASK = np.pad(np.full((20, 30), 2, np.int32), ((20, 20), (25, 25)))
EXAMPLE = Example(
    id="folder/one",
    image=IMAGE,
    tags=("cat", "dog"),
    maps={"cat": RNG.random((6, 8), np.float32), "dog": np.zeros((6, 8), np.float32)},
    walks={"cat": RNG.random((60, 80), np.float32)},
    mask=MASK,
    truth=np.where(MASK == 2, 1, -1).astype(np.int32),
    quality=0.42,
)
CONTENT = ReportContent(
    title="Run one",
    recipe_name="toy",
    data_name="drawn",
    classes=("cat", "dog"),
    summary="What happened.",
    notes=("Look here.",),
    scores=(
        ScoreRow("Seed", "On 3 masks.", 0.5, 0.75, {"background": 0.9, "cat": 0.1, "dog": None}),
        ScoreRow("Pseudo mask", "On 3 masks, too.", 0.625, 0.8, {"background": 0.95, "cat": 0.3}, (0.6, 0.65)),
    ),
    stage_seconds={"train-method": 75.0, "evaluate": 0.0},
    log=[{"stage": "method", "step": i, "losses": {"tags": 1 / i, "other": None}} for i in range(1, 5)],
    training_examples=(EXAMPLE,),
    validation_examples=(dataclasses.replace(EXAMPLE, tags_predicted=True, maps={}, walks={}, prediction=MASK),),
    lowest=(EXAMPLE,),
    highest=(dataclasses.replace(EXAMPLE, mask=None, quality=None),),
    qualities=(0.42, 0.9),
    recipe_yaml="name: toy\n",
    command="tagmask run toy",
    environment={"python": "3.11"},
)


class Page(HTMLParser):
    """Checks that every element is closed in order; collects elements, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def written(folder: Path, content: ReportContent) -> tuple[str, Page]:
    path = write_report(folder, content)
    assert list(folder.iterdir()) == [path]
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def test_report_is_one_whole_file(tmp_path: Path) -> None:
    text, page = written(tmp_path, CONTENT)
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "script" not in page.elements
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    # Photograph, two maps, a walk, mask and truth; photograph, mask, prediction and truth; two in the queues.
    assert page.elements.count("img") == 6 + 4 + 2
    # Loss curves and histogram.
    assert page.elements.count("svg") == 2


def test_report_says_what_it_was_given(tmp_path: Path) -> None:
    _, page = written(tmp_path, CONTENT)
    said = (
        "50.0\N{NO-BREAK SPACE}%",
        "On 3 masks, too.",
        "95 %: 60.0 to 65.0",
        "1 min 15 s",
        "quality 0.42",
        "Look here.",
    )
    said += ("predicted tags:", "map: dog", "walk: cat", "ground truth", "tagmask run toy", "name: toy", "folder/one")
    for words in said:
        assert words in page.text
    assert "was chosen" not in page.text


def test_empty_sections_say_why(tmp_path: Path) -> None:
    reasons = {"Scores": "Nobody drew a mask."}
    content = ReportContent("Run", "toy", "drawn", ("cat",), reasons=reasons)
    _, page = written(tmp_path, content)
    for words in ("Nobody drew a mask.", "no pseudo masks yet", "no training log", "No stage has finished"):
        assert words in page.text
    assert "img" not in page.elements


@pytest.mark.filterwarnings("error")
def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    row = ScoreRow(EVIL, EVIL, 0.5, 0.5, {EVIL: 0.5})
    example = dataclasses.replace(EXAMPLE, id=EVIL, tags=(EVIL,), maps={EVIL: np.ones((2, 2), np.float32)})
    content = ReportContent(
        EVIL, EVIL, EVIL, (EVIL,), EVIL, (EVIL,), (row,), {EVIL: 1.0},
        [{"stage": EVIL, "step": 1, "losses": {EVIL: 1.0}}], (example,), (example,), (example,), (example,), (0.5,),
        EVIL, EVIL, {EVIL: EVIL}, {"Scores": EVIL},
    )  # fmt: skip
    text, page = written(tmp_path, content)
    assert "<script" not in text
    assert page.text.count(EVIL) > 15


def test_a_long_report_stays_small(tmp_path: Path) -> None:
    photo = np.asarray(np.kron(RNG.integers(0, 255, (38, 50, 3), np.uint8), np.ones((10, 10, 1), np.uint8)))
    example = dataclasses.replace(
        EXAMPLE, image=photo, mask=np.zeros(photo.shape[:2], np.int32), truth=np.zeros(photo.shape[:2], np.int32)
    )
    content = dataclasses.replace(CONTENT, training_examples=(example,) * 4)
    size = write_report(tmp_path, content).stat().st_size
    assert size < 24 / 4 * 1_000_000 / 4


def test_report_needs_no_torch() -> None:
    code = "import sys, tagmask.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
