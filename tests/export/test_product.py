"""From a run to a folder, whole or not at all."""

import json

import numpy as np
import pytest

import tagmask
from exports import sizes_as_symbols, written_run
from tagmask.errors import TagmaskError
from tagmask.export import product as products_module
from tagmask.export.forms import FILES, write_bundle
from tagmask.export.product import export_run
from tagmask.inference.exported import read_settings
from typed import contents


def test_a_product_holds_network_settings_classes_card_and_script(product):
    names = {path.name for path in product.iterdir()}
    beside = {"network.bin"} if product.name == "openvino" else set()
    assert names == {FILES[product.name], "settings.json", "classes.json", "README.md", "predict.py", *beside}
    entries = json.loads((product / "classes.json").read_text())
    settings = read_settings(product / "settings.json")
    assert [entry["name"] for entry in entries] == ["background", *settings.classes]
    assert [tuple(entry["color"]) for entry in entries] == list(settings.palette)
    assert (settings.scales, settings.flip, settings.largest_side, settings.crf) == ((0.75, 1.0), True, 40, None)


def test_every_form_predicts_as_its_run(product, trained, scenes):
    image = scenes.read_image(scenes.records[0])
    expected = tagmask.load(trained, "cpu")(image)
    assert (tagmask.load(product)(image) == expected).mean() >= 0.999
    assert (tagmask.load(product / FILES[product.name])(image) == expected).mean() >= 0.999
    assert len(np.unique(expected)) > 1


def test_a_run_is_not_changed_by_its_export(tmp_path):
    run = written_run(tmp_path / "run")
    before = contents(run)
    export_run(run, tmp_path / "out")
    assert contents(run) == before


def test_what_does_not_answer_as_torch_leaves_nothing(trained, tmp_path, monkeypatch):
    def shifted(form, original, file):
        bias = original.network.head.classify.bias.data
        bias[0] += 0.01
        write_bundle(original, file)
        bias[0] -= 0.01

    monkeypatch.setattr(products_module, "write_form", shifted)
    with pytest.raises(TagmaskError, match=r"does not answer as torch does, and nothing was written.*1\.0e-02"):
        export_run(trained, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_graphs_hold_weights_as_they_are_whatever_a_prediction_folds(tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    model = "{kind: timm, model: test_resnet, weights: none, output_stride: 8, batch_norm: frozen}"
    run = written_run(tmp_path / "run", f"backbone={model}")
    with sizes_as_symbols():
        export_run(run, tmp_path / "out", "onnx", "dynamic")  # which takes no weights that are products
    assert read_settings(tmp_path / "out" / "settings.json").precision == "int8-dynamic"


def test_eight_bits_are_for_onnx_alone(trained, tmp_path):
    with pytest.raises(TagmaskError, match=r"--int8 rounds ONNX networks, and --to is bundle"):
        export_run(trained, tmp_path / "out", "bundle", "static")


def test_a_run_without_a_segmenter_is_refused(tmp_path):
    with pytest.raises(TagmaskError, match="no trained segmenter"):
        export_run(tmp_path / "none", tmp_path / "out")


def test_a_settled_place_of_others_is_refused_before_any_work(trained, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(TagmaskError, match="no export of tagmask"):
        export_run(trained, tmp_path)


def test_damaged_scores_are_named(tmp_path):
    run = written_run(tmp_path / "run")
    (run / "scores.json").write_text("[]")
    with pytest.raises(TagmaskError, match=r"scores.json does not hold what it should.*tagmask evaluate"):
        export_run(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
