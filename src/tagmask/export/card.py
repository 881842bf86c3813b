"""The model card of an export: what the network has learned from, how good it is, what it must not be used for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import timm
from pydantic import BaseModel

from tagmask.config import AnyBackbone, TimmBackbone
from tagmask.conventions import Form
from tagmask.export.check import Comparison
from tagmask.inference.exported import ExportSettings
from tagmask.inference.predictor import SegmenterFacts

UNKNOWN = "unknown: see where they came from"
_FORMS: dict[Form, str] = {
    "bundle": "weights in safetensors, for tagmask itself",
    "onnx": "an ONNX graph, for onnxruntime and whatever else reads ONNX",
    "openvino": "an OpenVINO graph, for processors and accelerators by Intel",
    "torch-export": "a graph of torch.export, for torch without the code of tagmask",
}
_SHOWN = {
    "prediction": "this network",
    "mask": "the pseudo masks it has learned from",
    "tags": "the classifier of tags",
}


class Score(BaseModel):
    """What the card tells of an entry of ``scores.json``."""

    protocol: str
    mean_iou: float | None = None
    mean_average_precision: float | None = None
    iou: dict[str, float | None] = {}

    @property
    def measure(self) -> str:
        """Name of the number."""
        return "mean IoU" if self.mean_average_precision is None else "mean average precision"

    @property
    def value(self) -> float:
        """The number, 0 to 1."""
        found = self.mean_iou if self.mean_average_precision is None else self.mean_average_precision
        return float("nan") if found is None else found


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    Attributes:
        learned: what the weights know of their run.
        dataset: its name.
        images: number of training images.
        settings: of the export.
        scores: what the run's ``scores.json`` holds.
        comparison: with torch.
        environment: versions and machine.
        size: bytes of the network's files.
    """

    learned: SegmenterFacts
    dataset: str
    images: int
    settings: ExportSettings
    scores: dict[str, Score]
    comparison: Comparison
    environment: dict[str, str]
    size: int


def card(facts: Facts) -> str:
    """The text of ``README.md``."""
    parts = (_what(facts), _use(facts), _data(facts), _scores(facts), _limits(facts), _check(facts), _origin(facts))
    return "\n".join(line for part in parts for line in (*part, ""))


def _what(facts: Facts) -> Iterator[str]:
    settings, learned = facts.settings, facts.learned
    yield f"# Segmentation of {_listed(settings.classes)}"
    yield ""
    yield (
        f"A segmentation network (`{learned.segmenter.kind}` on `{_model(learned.own_backbone)}`) that "
        f"has learned from {_teacher(facts)}, with tagmask: a photograph goes in, one class per pixel comes out."
    )
    if learned.segmenter.maximum_over:
        scales = ", ".join(f"{scale:g}" for scale in learned.segmenter.maximum_over)
        yield f"It looks at a photograph at scales {scales} and keeps the largest logits; that is inside the network."
    yield ""
    yield "| mask value | class | colour |"
    yield "|--:|---|---|"
    for value, (name, color) in enumerate(zip(("background", *settings.classes), settings.palette, strict=True)):
        yield f"| {value} | {name} | #{bytes(color).hex()} |"


def _use(facts: Facts) -> Iterator[str]:
    settings = facts.settings
    yield "## Use"
    yield ""
    yield f"`{settings.file}` is {_FORMS[settings.form]} ({facts.size / 1e6:.1f} MB, {settings.precision})."
    yield ""
    yield "```sh"
    yield "python predict.py photo.jpg          # writes photo.jpg.png"
    yield "tagmask predict photos --model . --out masks"
    yield "```"
    yield ""
    yield "What is done to a photograph stands in `settings.json`, and `predict.py` and tagmask do the same:"
    yield ""
    yield from (f"{number}. {step}" for number, step in enumerate(_steps(settings), start=1))


def _steps(settings: ExportSettings) -> Iterator[str]:
    """All that is done to a photograph, in order."""
    yield "RGB, " + ("turned upright by its EXIF" if settings.exif == "upright" else "as the file stores it")
    if settings.bands:
        yield f"Bands {', '.join(map(str, settings.bands))} of the file are red, green and blue"
    if settings.stretch:
        yield f"Of more than 8 bits, percentiles {list(settings.stretch)} of each band become black and white"
    if settings.stretch_values:
        yield f"Of more than 8 bits, these numbers become black and white: {list(map(list, settings.stretch_values))}"
    if settings.largest_side:
        yield f"Scaled down to a long side of {settings.largest_side} pixels if it is larger, by Pillow's cubic filter"
    yield f"Scaled down to {settings.largest_pixels / 1e6:g} megapixels if it is larger"
    if settings.base_long_side:
        yield f"Brought to a long side of {settings.base_long_side} pixels"
    mirrored = ", each with its mirror image" if settings.flip else ", without a mirror image"
    scales = ", ".join(f"{scale:g}" for scale in settings.scales)
    yield f"Scales {scales}{mirrored}, by the same filter; no padding, which is inside the network"
    yield f"Values / 255, minus {list(settings.mean)}, divided by {list(settings.std)}; channels first"
    yield "Logits of every pass brought to the size of the photograph (bilinear, corners not aligned) and averaged"
    if settings.crf:
        yield "**A dense CRF on the probabilities: by tagmask alone. `predict.py` leaves it out, so its masks differ**"
    yield "The largest logit is the class"


def _data(facts: Facts) -> Iterator[str]:
    learned, classes = facts.learned, len(facts.settings.classes)
    yield "## Data and training"
    yield ""
    yield f"- Data: {facts.dataset}, {facts.images} training images with tags for {classes} classes."
    yield f"- Recipe: `{learned.name}`, seed {learned.seed}; method `{learned.method.kind}`."
    backbone = learned.own_backbone
    yield f"- Training began from: {_began(backbone)}. Licence of these weights: {weights_licence(backbone)}."
    yield "- Licence of the photographs and of what was learned from them: not known to tagmask; add it here."


def _scores(facts: Facts) -> Iterator[str]:
    yield "## Scores"
    yield ""
    shown = [(name, facts.scores[key]) for key, name in _SHOWN.items() if key in facts.scores]
    if not shown:
        yield "None were measured: the run has no ground truth, or was not evaluated."
        return
    yield "| of | % | measure | protocol |"
    yield "|---|--:|---|---|"
    for name, score in shown:
        yield f"| {name} | {100 * score.value:.1f} | {score.measure} | {score.protocol} |"
    if of_classes := _of_classes(facts):
        yield ""
        yield f"IoU of each class, in %: {', '.join(f'{name} {100 * iou:.0f}' for name, iou in of_classes.items())}."
    yield ""
    if _is_scored(facts):
        yield "Scores are of the network in torch, with the scales and mirror images above; one run, so no deviation."
    else:
        yield "The network was not scored: no validation image has ground truth, or the run was not evaluated."


def _is_scored(facts: Facts) -> bool:
    """Whether anything is known of the network's own masks."""
    return "prediction" in facts.scores


def _of_classes(facts: Facts) -> dict[str, float]:
    """IoU of each class that could be scored, by this network."""
    found = facts.scores["prediction"].iou if _is_scored(facts) else {}
    return {name: iou for name, iou in found.items() if iou is not None}


def _limits(facts: Facts) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "- It knows the classes above and no others; all else becomes background, or the class that is most like it."
    if _teacher(facts) == "image tags":
        yield (
            "- It has learned from tags: boundaries are coarse, and what nearly always appears with a class may be "
            "taken for a part of it."
        )
    weak = [name for name, iou in _of_classes(facts).items() if iou < 0.5]
    if weak:
        yield f"- Below 50 % IoU: {_listed(weak)}."
    scored = "scored on photographs like those of its training alone" if _is_scored(facts) else "not scored"
    yield f"- It was {scored}; try it on yours before you rely on it."
    yield "- `predict.py` reads files of 8 bits; those of 16 or 32 bits are read by tagmask alone."


def _check(facts: Facts) -> Iterator[str]:
    found = facts.comparison
    yield "## Compared with torch"
    yield ""
    yield f"On {found.images} photographs of the run, scales and mirror images as above, before any CRF:"
    yield ""
    yield "| | |"
    yield "|---|--:|"
    yield f"| largest difference of a logit | {found.difference:.1e} |"
    yield f"| pixels with the same class | {100 * found.equal:.3f} % |"
    pixels = f"{found.size[0]} x {found.size[1]} pixels"
    yield f"| one pass, {pixels}, {found.threads} thread(s) | {1000 * found.seconds:.0f} ms |"
    yield f"| the same by torch | {1000 * found.torch_seconds:.0f} ms |"
    yield ""
    yield "Times are medians on the machine of the export, which may have been busy; measure on your own."


def _origin(facts: Facts) -> Iterator[str]:
    yield "## Made by"
    yield ""
    yield from (f"- {name}: {value}" for name, value in facts.environment.items())


def _teacher(facts: Facts) -> str:
    return "drawn masks" if facts.learned.segmenter.learn_from == "masks" else "image tags"


def weights_licence(backbone: AnyBackbone) -> str:
    """The licence of the weights that training began from, as far as it can be known."""
    if backbone.weights == "none":
        return "none needed"
    if not isinstance(backbone, TimmBackbone) or backbone.weights != "pretrained":
        return UNKNOWN
    told = getattr(timm.get_pretrained_cfg(backbone.model), "license", None)
    return f"{told}, as timm tells" if told else UNKNOWN


def _began(backbone: AnyBackbone) -> str:
    names = {"none": "random numbers", "pretrained": f"the weights that timm has for `{_model(backbone)}`"}
    return names.get(backbone.weights, f"a local file, `{backbone.weights.replace(chr(92), '/').rsplit('/', 1)[-1]}`")


def _model(backbone: AnyBackbone) -> str:
    return backbone.model if isinstance(backbone, TimmBackbone) else "Wide ResNet-38"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
