"""The parts of a report: each turns its share of the content into markup, empty where there is nothing to show."""

from collections.abc import Mapping, Sequence

import numpy as np

from tagmask.masks import overlays
from tagmask.report import charts
from tagmask.report.content import Example, ReportContent, ScoreRow
from tagmask.report.markup import Markup, element, join

PICTURE_WIDTH = 256
QUEUE_WIDTH = 168

# ── sections ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def score_list(rows: Sequence[ScoreRow]) -> Markup:
    """Every score with its bar and its protocol."""
    if not rows:
        return Markup()
    return element("ol", *(_score(row) for row in rows), class_="scores card")


def _score(row: ScoreRow) -> Markup:
    bar = element("div", element("i", style=f"width:{100 * row.mean_iou:.1f}%"), class_="track")
    below = [element("small", f"{percent(row.pixel_accuracy)} of pixels")]
    if row.interval is not None:
        below.insert(0, element("small", f"95 %: {100 * row.interval[0]:.1f} to {100 * row.interval[1]:.1f}"))
    return element(
        "li",
        element("div", element("h3", row.name), element("p", row.protocol, class_="soft small protocol")),
        bar,
        element("div", percent(row.mean_iou), *below, class_="figure"),
    )


def class_table(rows: Sequence[ScoreRow]) -> Markup:
    """IoU of each class in each score."""
    if not rows:
        return Markup()
    names = list(dict.fromkeys(name for row in rows for name in row.iou))
    head = element("tr", element("th", "class"), *(element("th", row.name, scope="col") for row in rows))
    lines = [
        element("tr", element("th", name, scope="row"), *(_share(row.iou.get(name)) for row in rows)) for name in names
    ]
    means = element("tr", element("th", "mean", scope="row"), *(_share(row.mean_iou) for row in rows))
    parts = (element("thead", head), element("tbody", *lines), element("tfoot", means))
    table = element("table", *parts, class_="even", style=f"min-width:{130 + 120 * len(rows)}px")
    return element("div", table, class_="card scroll")


def _share(value: float | None) -> Markup:
    if value is None:
        return element("td", "\N{EN DASH}", class_="soft")
    return element("td", f"{100 * value:.1f}", class_="share", style=f"--share:{100 * value:.1f}%")


def example_list(examples: Sequence[Example], classes: Sequence[str]) -> Markup:
    """One card per image: photograph, maps, walked maps, masks, truth."""
    cards = [_example(example, classes) for example in examples]
    return element("div", *cards, class_="examples") if cards else Markup()


def _example(example: Example, classes: Sequence[str]) -> Markup:
    kind = "predicted tags:" if example.tags_predicted else "tags:"
    quality = () if example.quality is None else (element("span", f"quality {example.quality:.2f}", class_="soft"),)
    header, pictures = example_header(example.id, example.tags, classes, kind, *quality), _pictures(example)
    size = "wide" if len(pictures) > 4 else "narrow"
    return element("article", header, element("div", *pictures, class_="pictures"), class_=f"example card {size}")


def example_header(
    image_id: str, tags: Sequence[str], classes: Sequence[str], kind: str = "tags:", *more: Markup
) -> Markup:
    """Name of an image, its tags beside their colours, and what else is known."""
    chips = [element("span", swatch(_value(name, classes)), name, class_="tag") for name in tags]
    known = [element("span", kind, class_="soft"), *chips] if chips else [element("span", "no tags", class_="soft")]
    return element("header", element("h3", image_id), *known, *more)


def _pictures(example: Example) -> list[Markup]:
    size = overlays.thumbnail_size(example.image.shape[:2], PICTURE_WIDTH)
    small = overlays.shrink_image(example.image, size)
    maps = [("map", name, values) for name, values in example.maps.items()]
    maps += [("walk", name, values) for name, values in example.walks.items()]
    masks = {"pseudo mask": example.mask, "prediction": example.prediction, "ground truth": example.truth}
    return [
        picture(small, "photograph", example.id),
        *(
            picture(overlays.overlay_map(small, overlays.scale_map(values, size)), f"{kind}: {name}", example.id)
            for kind, name, values in maps
        ),
        *(
            picture(overlays.overlay_mask(small, overlays.shrink_mask(mask, size)), name, example.id)
            for name, mask in masks.items()
            if mask is not None
        ),
    ]


def picture(pixels: overlays.Picture, caption: str, image_id: str) -> Markup:
    """A picture with what it shows below it."""
    rows, columns = pixels.shape[:2]
    image = element("img", src=overlays.data_uri(pixels), alt=f"{caption} of {image_id}", width=columns, height=rows)
    return element("figure", image, element("figcaption", caption))


def review(content: ReportContent) -> Markup:
    """Distribution of the qualities, the lowest and the highest."""
    if not content.qualities and not content.lowest:
        return Markup()
    title = f"Quality of all {len(content.qualities)} pseudo masks"
    chart = _chart(title, charts.histogram(content.qualities, "quality")) if content.qualities else Markup()
    queues = {"Lowest quality: look here first": content.lowest, "Highest quality": content.highest}
    shown = [element("div", element("h3", name), _queue(items)) for name, items in queues.items() if items]
    return element("div", element("div", chart, class_="charts"), *shown, class_="review")


def _queue(examples: Sequence[Example]) -> Markup:
    return element("div", *(_queued(example) for example in examples), class_="queue")


def _queued(example: Example) -> Markup:
    size = overlays.thumbnail_size(example.image.shape[:2], QUEUE_WIDTH)
    small = overlays.shrink_image(example.image, size)
    if example.mask is not None:
        small = overlays.overlay_mask(small, overlays.shrink_mask(example.mask, size))
    quality = "" if example.quality is None else f"{example.quality:.2f} "
    caption = element("figcaption", element("b", quality), example.id, element("br"), ", ".join(example.tags))
    image = element("img", src=overlays.data_uri(small), alt=example.id, width=size[1], height=size[0])
    return element("figure", image, caption)


def loss_charts(log: Sequence[Mapping[str, object]]) -> Markup:
    """One chart per trained network, one line per loss."""
    stages: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for entry in log:
        lines = stages.setdefault(str(entry.get("stage", "training")), {})
        for name, step, value in _logged(entry):
            lines.setdefault(name, []).append((step, value))
    figures = [_chart(stage, charts.line_chart(lines, "step")) for stage, lines in stages.items() if lines]
    return element("div", *figures, class_="charts") if figures else Markup()


def _logged(entry: Mapping[str, object]) -> list[tuple[str, float, float]]:
    """Name, step and value of each loss in a line of the log; lines of another kind hold none."""
    losses, step = entry.get("losses"), entry.get("step")
    if not isinstance(losses, Mapping) or not isinstance(step, int):
        return []
    return [(str(name), float(step), float(value)) for name, value in losses.items() if isinstance(value, int | float)]


def _chart(title: str, chart: Markup) -> Markup:
    return element("figure", element("figcaption", element("h3", title)), chart, class_="chart card")


def time_table(seconds: Mapping[str, float]) -> Markup:
    """Wall time of each stage as a bar."""
    if not seconds:
        return Markup()
    longest = max(*seconds.values(), 1e-9)
    lines = [_time(stage, value, value / longest) for stage, value in seconds.items()]
    total = element(
        "tr", element("th", "total", scope="row"), element("td"), element("td", duration(sum(seconds.values())))
    )
    return element("div", element("table", element("tbody", *lines), element("tfoot", total)), class_="card scroll")


def _time(stage: str, seconds: float, share: float) -> Markup:
    bar = element("div", element("i", style=f"width:{100 * share:.1f}%"), class_="track")
    return element(
        "tr", element("th", stage, scope="row"), element("td", bar, class_="meter"), element("td", duration(seconds))
    )


def repeat(content: ReportContent) -> Markup:
    """Command, resolved recipe, versions and hardware."""
    if not content.recipe_yaml:
        return command_and_environment(content.command, content.environment)
    summary = element("summary", "Resolved recipe")
    recipe = element("details", summary, element("pre", content.recipe_yaml), class_="card")
    return command_and_environment(content.command, content.environment, recipe)


def command_and_environment(command: str, environment: Mapping[str, str], *between: Markup) -> Markup:
    """The command line that repeats something, more where there is more, then versions and hardware."""
    parts = [element("pre", command, class_="card") if command else Markup(), *between]
    facts = [join(element("dt", name), element("dd", value)) for name, value in environment.items()]
    return join(*parts, element("dl", *facts) if facts else Markup())


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


def _value(name: str, classes: Sequence[str]) -> int:
    return classes.index(name) + 1 if name in classes else 0


def swatch(value: int) -> Markup:
    """A small square in the colour of a mask value."""
    red, green, blue = overlays.class_colors(np.array([value]))[0].tolist()
    return element("i", class_="swatch", style=f"background:rgb({red},{green},{blue})")
