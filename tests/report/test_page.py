import dataclasses

import numpy as np
import pytest

from report.pages import Page, assert_whole
from tagmask.report.charts import histogram, line_chart
from tagmask.report.content import (
    Card,
    Cell,
    ClassQueue,
    ComparisonContent,
    Picture,
    ReportContent,
    ReviewQueue,
    Row,
    ScoreRow,
    Table,
    Tag,
)
from tagmask.report.page import code, color, duration, percent, render, write_page

EVIL = "<script>alert(1)</script>\"'&$body{{ content }}"
PIXELS = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
CARD = Card(
    id="folder/one",
    tags=(Tag("cat", 1), Tag("dog", 2)),
    pictures=[Picture("photograph", PIXELS), Picture("map: dog", PIXELS)],
    quality=0.42,
)
TABLE = Table(["class", "Seed"], [Row("cat", [Cell("10.0", share=0.1)])], Row("mean", [Cell("50.0", share=0.5)]))
QUEUE = ReviewQueue(
    qualities=histogram("Quality", (0.42, 0.9), "quality"),
    lowest=[CARD],
    highest=[CARD],
    of_classes=[ClassQueue("cat", 7, [CARD], [CARD]), ClassQueue("dog", 1)],
    reviewed="2 have been looked at.",
    command="tagmask review runs/one",
)
RUN = ReportContent(
    title="Run one",
    recipe_name="toy",
    data_name="drawn",
    classes=("cat", "dog"),
    summary="What happened.",
    notes=("Look here.",),
    scores=[ScoreRow("Seed", "On 3 masks.", 0.5, 0.75, {})],
    iou=TABLE,
    training=[CARD],
    validation=[dataclasses.replace(CARD, predicted_tags=(Tag("dog", 2),))],
    is_segmented=True,
    queue=QUEUE,
    losses=[line_chart("method", {"tags": [(1, 1.0), (2, 0.5)]}, "step")],
    times=Table((), [Row("train-method", [Cell(bar=1.0), Cell("1 min 15 s")])]),
    recipe_yaml="name: toy\n",
    command="tagmask run toy",
    environment={"python": "3.11"},
)
COMPARISON = ComparisonContent(
    title="Two recipes",
    recipe_names=("a", "b"),
    data="drawn",
    classes=("cat", "dog"),
    notes=("b is missing.",),
    reading="Mean IoU.",
    results=Table(["recipe", "mask"], [Row("a", [Cell("60.0", " ± 1.0", is_best=True)])]),
    protocols={"mask": "On 3 masks."},
    gains=Table(["recipe", "mask"], [Row("b", [Cell("+1.0")])]),
    training=[dataclasses.replace(CARD, pictures=[*CARD.pictures, None], columns=3)],
    validation=[CARD],
    times=Table(["recipe", "all stages"], [Row("a", [Cell("2 s")])]),
    settings=Table(["setting", "a", "b"], [Row("steps", [Cell("4"), Cell("none")])]),
    command="tagmask compare a b",
    environment={"python": "3.11"},
)


def test_the_report_is_one_whole_file(tmp_path):
    path = write_page(tmp_path / "report.html", RUN)
    assert list(tmp_path.iterdir()) == [path]
    page = assert_whole(path.read_text(encoding="utf-8"))
    assert page.elements.count("img") == 2 + 2 + 4  # queues show the first picture of a card
    assert page.elements.count("svg") == 2


def test_the_page_of_a_comparison_is_one_whole_file():
    page = assert_whole(render(COMPARISON))
    assert page.elements.count("img") == 2 + 2
    assert page.elements.count("figure") == 2 + 2 + 1  # the gap in a grid of fixed columns


@pytest.mark.parametrize("content", [RUN, COMPARISON])
def test_all_that_is_given_is_said(content):
    page = Page(render(content))
    given = ["folder/one", "cat", "dog", "quality 0.42", "map: dog", content.command, "3.11", *content.notes]
    given += ["50.0", "1 min 15 s", "On 3 masks.", "name: toy"] if content is RUN else ["60.0 ± 1.0", "+1.0", "none"]
    for words in given:
        assert words in page.text, words


def test_predicted_tags_stand_beside_those_that_are_known():
    validation = {
        "both": dataclasses.replace(CARD, predicted_tags=(Tag("dog", 2),)),
        "found": Card("2", (), (Tag("dog", 2),)),
        "missed": Card("3", (Tag("cat", 1),), ()),
        "unknown": Card("4"),
    }
    said = {}
    for name, card in validation.items():
        page = Page(render(dataclasses.replace(RUN, training=(), validation=[card], queue=None)))
        said[name] = " ".join(page.text.split("Validation images")[1].split("Review queue")[0].split())
    assert "tags: cat dog predicted tags: dog" in said["both"]
    assert "2 predicted tags: dog" in said["found"]
    assert "3 tags: cat predicted tags: none" in said["missed"]
    assert "4 no tags" in said["unknown"]


def test_what_is_empty_is_left_out_and_missing_scores_are_explained_once():
    nothing = ReportContent("Run", "toy", "drawn", ("cat",), unscored="Nobody drew a mask.")
    page = Page(render(nothing))
    assert page.titles == ["Scores", "Repeat this run"]
    assert page.text.count("Nobody drew a mask.") == 1
    assert "img" not in page.elements
    assert Page(render(ComparisonContent("", (), "", ()))).titles == ["Repeat"]


def test_cards_of_two_pictures_stand_closer_together():
    page = render(dataclasses.replace(RUN, validation=[dataclasses.replace(CARD, pictures=[*CARD.pictures] * 2)]))
    assert page.count('class="examples small"') == 1  # the training images have two pictures here
    assert page.count('class="examples"') == 1


def test_words_are_explained_where_they_are_first_shown():
    lead = Page(render(RUN)).text.split("Training images")[1].split("folder/one")[0]
    for word in ("A map ", "a walk ", "a pseudo mask,"):
        assert word in lead


def replaced(value):
    """The same content with a hostile text in place of every text."""
    if isinstance(value, str):
        return EVIL if value else value
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(
            value, **{f.name: replaced(getattr(value, f.name)) for f in dataclasses.fields(value)}
        )
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(replaced, value))
    if isinstance(value, dict):
        return {replaced(key): replaced(each) for key, each in value.items()}
    return type(value)(map(replaced, value)) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("content", [RUN, COMPARISON])
def test_no_text_breaks_the_page(content):
    page = assert_whole(render(replaced(content)))
    assert page.elements == Page(render(content)).elements
    assert page.text.count(EVIL) > 15


def test_class_names_are_shown_as_they_are():
    page = render(dataclasses.replace(RUN, classes=("<b>dog</b> & co",)))
    assert "<b>dog</b>" not in page
    assert "&lt;b&gt;dog&lt;/b&gt; &amp; co" in page


def test_words_between_backticks_are_code_and_the_rest_is_escaped():
    assert code("take `a<b` & `c`, not d`") == "take <code>a&lt;b</code> &amp; <code>c</code>, not d`"
    assert code("`") == "`"


def test_shares_durations_and_colours():
    assert percent(0.6125001) == "61.3\N{NO-BREAK SPACE}%"
    assert [duration(s) for s in (0, 59.6, 60, 3599.7, 3600)] == [
        "0.0 s",
        "1 min 00 s",
        "1 min 00 s",
        "1 h 00 min",
        "1 h 00 min",
    ]
    assert color(0) == "rgb(0,0,0)"
