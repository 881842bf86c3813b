"""Writers of the forms that a network can be exported in; each makes the file that the settings name."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tagmask.conventions import Form
from tagmask.export.graph import EXAMPLE, traced
from tagmask.networks.deeplab import DeepLab
from tagmask.networks.saved import read_facts, save_weights
from tagmask.system.extras import require

FILES: dict[Form, str] = {
    "bundle": "segmenter.safetensors",
    "onnx": "network.onnx",
    "openvino": "network.xml",
    "torch-export": "network.pt2",
}
EXTRAS: dict[Form, tuple[str, tuple[str, ...]]] = {
    "onnx": ("export", ("onnx", "onnxscript", "onnxruntime")),
    "openvino": ("openvino", ("onnx", "onnxscript", "openvino")),
}
"""The extra of each form that needs one, and the packages it brings."""


@dataclass(frozen=True)
class Trained:
    """A trained network and the weights file that it was read from."""

    network: DeepLab
    weights: Path


def require_packages(form: Form) -> None:
    """Find out, before any work, whether a form can be written and read here.

    Raises:
        TagmaskError: a package is missing.
    """
    if form in EXTRAS:
        extra, packages = EXTRAS[form]
        require(extra, *packages)


def write_form(form: Form, trained: Trained, file: Path) -> None:
    """Write a network in one of the forms.

    Raises:
        TagmaskError: its backbone cannot be made a graph.
    """
    writers = {"bundle": write_bundle, "onnx": write_onnx, "openvino": write_openvino, "torch-export": write_program}
    writers[form](trained, file)


def write_bundle(trained: Trained, file: Path) -> None:
    """The weights with their facts; of a local file that training began from, the name alone."""
    facts = read_facts(trained.weights)
    recipe = json.loads(facts["recipe"])
    for settings in (recipe["backbone"], recipe["segmenter"].get("backbone")):
        if settings is not None:
            settings["weights"] = Path(settings["weights"]).name
    save_weights(file, trained.network, facts | {"recipe": json.dumps(recipe)})


def write_onnx(trained: Trained, file: Path) -> None:
    """One file, weights included, with axes ``batch``, ``height`` and ``width`` of any size."""
    with hushed():
        program = torch.onnx.export(
            traced(trained.network),
            (torch.zeros(EXAMPLE),),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )
    assert program is not None
    _name_axes(program.model)
    program.save(file, external_data=False)


def _name_axes(model: Any) -> None:
    """Give the axes the names of the field, in place of the tracer's arithmetic."""
    import onnx_ir  # noqa: PLC0415 (comes with onnxscript, which is optional)

    model.graph.inputs[0].shape = onnx_ir.Shape(["batch", 3, "height", "width"])
    classes = model.graph.outputs[0].shape[1]
    model.graph.outputs[0].shape = onnx_ir.Shape(["batch", classes, "grid_height", "grid_width"])


@contextmanager
def hushed() -> Iterator[None]:
    """Without the remarks of exporters, which are about operators that no network here has."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def write_openvino(trained: Trained, file: Path) -> None:
    """The ONNX file converted, in 32 bits: ``.xml`` and, beside it, ``.bin``."""
    import openvino  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (optional)

    onnx = file.with_suffix(".onnx")
    write_onnx(trained, onnx)
    openvino.save_model(openvino.convert_model(onnx), file, compress_to_fp16=False)
    onnx.unlink()


def write_program(trained: Trained, file: Path) -> None:
    """The graph as torch saves it."""
    torch.export.save(traced(trained.network), file)
