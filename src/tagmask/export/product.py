"""From a finished run to a folder that can be handed to somebody else."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from tagmask.config import AnyData
from tagmask.contracts import Dataset, Record
from tagmask.conventions import Form, Int8
from tagmask.data.class_list import CLASSES
from tagmask.data.datasets import open_dataset
from tagmask.errors import TagmaskError
from tagmask.export.card import Facts, Score, card
from tagmask.export.check import Comparison, Photograph, compared, refuse_different
from tagmask.export.folder import refuse_foreign
from tagmask.export.forms import FILES, Trained, require_packages, write_form
from tagmask.export.int8 import write_int8
from tagmask.export.script import script
from tagmask.inference.exported import SETTINGS, ExportSettings, Precision
from tagmask.inference.predictor import LARGEST, Predictor, SegmenterFacts, load, segmenter_facts
from tagmask.masks.overlays import class_entries
from tagmask.networks.deeplab import DeepLab
from tagmask.stages.run_folder import RunFolder
from tagmask.stages.sharing import spread_evenly
from tagmask.system.environment import environment
from tagmask.system.storage import read_json_as, write_bytes, write_json
from tagmask.system.whole_folders import writing_folder

CHECKED = 20  # photographs
PRECISIONS: dict[Int8 | None, Precision] = {None: "float32", "dynamic": "int8-dynamic", "static": "int8-static"}


def export_run(
    run: Path, out: Path, form: Form = "bundle", int8: Int8 | None = None, data: Path | None = None
) -> Comparison:
    """Write a run's segmenter as one folder, after it has been compared with torch on photographs of the run.

    Args:
        run: a folder that ``tagmask run`` wrote; nothing in it is changed.
        out: the new folder, which appears whole or not at all; an earlier export there is replaced.
        form: of the network.
        int8: how to round an ONNX network to 8 bits; None: it keeps 32.
        data: where the run's data lie now; None: where they lay.

    Returns:
        What the comparison has shown.

    Raises:
        TagmaskError: no trained segmenter, no data, a missing package, a folder of something else, or a network that
            does not answer as torch does.
    """
    if int8 is not None and form != "onnx":
        raise TagmaskError(f"--int8 rounds ONNX networks, and --to is {form}; take --to onnx, or leave out --int8")
    refuse_foreign(out)
    require_packages(form)
    known = RunFolder(run)
    predictor, weights = load(run, "cpu"), known.weights("segmenter")
    learned, scores = segmenter_facts(weights)[0], _scores(known)
    dataset = open_dataset(learned.data, data or known.data())
    settings = settings_of_export(predictor, form, int8)
    with writing_folder(out, refuse_foreign) as folder:
        found = _write_checked(folder, Trained(_network(predictor), weights), settings, dataset, learned.data)
        _write_words(folder, settings, learned, dataset, scores, found)
    return found


def _network(predictor: Predictor) -> DeepLab:
    assert isinstance(predictor.network, DeepLab), "a run holds a network in torch"
    return predictor.network


def settings_of_export(predictor: Predictor, form: Form, int8: Int8 | None) -> ExportSettings:
    """All that is done to a photograph, from a run's predictor."""
    config, normalization, reading = predictor.config, predictor.normalization, predictor.reading
    return ExportSettings(
        form=form,
        file=FILES[form],
        precision=PRECISIONS[int8],
        classes=predictor.classes,
        palette=tuple(tuple(entry["color"]) for entry in class_entries(predictor.classes)),
        mean=normalization.mean,
        std=normalization.std,
        scales=config.scales,
        flip=config.flip,
        base_long_side=config.base_long_side,
        largest_side=reading.largest_side,
        largest_pixels=LARGEST,
        bands=reading.bands,
        exif="as_stored" if reading.as_stored else "upright",
        stretch=reading.stretch.percentiles,
        stretch_values=reading.stretch.values,
        tile=predictor.usual_side,
        crf=config.crf,
    )


def _write_checked(
    folder: Path, trained: Trained, settings: ExportSettings, dataset: Dataset, data: AnyData
) -> Comparison:
    """Write the network and its settings, open both again, and compare."""
    original = Predictor(trained.network, settings, settings.classes, torch.device("cpu"), settings.reading)
    file = folder / settings.file
    write_form(settings.form, trained, file)
    if settings.precision != "float32":
        kind: Int8 = "static" if settings.precision == "int8-static" else "dynamic"
        write_int8(file, kind, _calibration(original, _photographs(dataset, data.train_split)))
    write_json(folder / SETTINGS, settings.model_dump(mode="json"))
    photographs = _photographs(dataset, data.val_split) or _photographs(dataset, data.train_split)
    found = compared(load(folder, "cpu"), original, photographs)
    refuse_different(found, settings.precision)
    return found


def _photographs(dataset: Dataset, split: str | None) -> list[Photograph]:
    records: Sequence[Record] = () if split is None else dataset.split(split)
    return [dataset.read_image(record) for record in spread_evenly(records, CHECKED)]


def _calibration(predictor: Predictor, photographs: Sequence[Photograph]) -> list[np.ndarray]:
    """Photographs as the network sees them, at the scale nearest to 1."""
    scales = predictor.config.scales
    nearest = min(range(len(scales)), key=lambda place: abs(scales[place] - 1))
    return [predictor.scaled(photograph)[1][nearest][None].numpy() for photograph in photographs]


def _scores(folder: RunFolder) -> dict[str, Score]:
    if not folder.scores.exists():
        return {}
    remedy = f"delete it, and `tagmask evaluate {folder.path}` writes it anew"
    return read_json_as(folder.scores, TypeAdapter(dict[str, Score]).validate_python, remedy)


def _write_words(
    folder: Path,
    settings: ExportSettings,
    learned: SegmenterFacts,
    dataset: Dataset,
    scores: dict[str, Score],
    found: Comparison,
) -> None:
    """Write what people and programs read beside the network."""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.name != SETTINGS)
    images = len(dataset.split(learned.data.train_split))
    facts = Facts(learned, dataset.name, images, settings, scores, found, environment(), size)
    write_json(folder / CLASSES, class_entries(settings.classes))
    write_bytes(folder / "predict.py", script(settings.form).encode())
    write_bytes(folder / "README.md", card(facts).encode())
