"""Exported networks, opened again; that they answer as torch does is tested in ``tests/export``."""

import json

import pytest
import torch

import tagmask
from exports import tiny_network, written_run
from tagmask.contracts import Normalization
from tagmask.data.stretch import Stretch
from tagmask.errors import TagmaskError
from tagmask.export.product import export_run
from tagmask.inference.exported import DenseNetwork, OnnxNetwork, TorchExportNetwork, settings_file

PLAIN = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture
def bundle(tmp_path):
    export_run(written_run(tmp_path / "run"), tmp_path / "out")
    return tmp_path / "out"


def changed(folder, **values):
    settings = json.loads((folder / "settings.json").read_text()) | values
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder


def test_a_network_in_torch_is_all_that_a_predictor_needs():
    assert isinstance(tiny_network("deeplab_v1"), DenseNetwork)
    assert not isinstance(torch.nn.Conv2d(1, 1, 1), DenseNetwork)


def test_settings_are_found_beside_a_network(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"x")
    assert settings_file(tmp_path) is None
    assert settings_file(tmp_path / "segmenter.safetensors") is None
    with pytest.raises(TagmaskError, match=r"network.onnx has no settings.json beside it"):
        settings_file(tmp_path / "network.onnx")
    (tmp_path / "settings.json").write_text("{}")
    assert settings_file(tmp_path / "network.onnx") == settings_file(tmp_path) == tmp_path / "settings.json"


@pytest.mark.parametrize(("network", "package"), [(OnnxNetwork, "onnxruntime"), (TorchExportNetwork, "torch")])
def test_damaged_networks_are_named(tmp_path, network, package):
    pytest.importorskip(package)
    (tmp_path / "network").write_bytes(b"no network")
    with pytest.raises(TagmaskError, match=r"network cannot be opened: .*export the run again"):
        network(tmp_path / "network", PLAIN)


def test_settings_of_an_export_are_followed(bundle, scenes):
    image = scenes.read_image(scenes.records[0])
    before = tagmask.load(bundle, "cpu")
    after = tagmask.load(changed(bundle, scales=[2.0], flip=False, largest_side=None), "cpu")
    assert (before.reading.largest_side, after.reading.largest_side) == (40, None)
    assert (before(image) != after(image)).any()


def test_numbers_of_many_bits_and_large_images_are_taken_as_the_export_says(bundle):
    predictor = tagmask.load(changed(bundle, stretch=[2, 98], tile=96), "cpu", tiles=128)
    assert predictor.reading.stretch == Stretch((2, 98))
    assert (predictor.usual_side, predictor.tiles) == (96, 128)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tagmask_export": 2}, "does not hold what it should"),
        ({"file": "../elsewhere.onnx"}, "does not hold what it should"),
        ({"scales": []}, "does not hold what it should"),
        ({"file": "gone.safetensors"}, "has no gone.safetensors"),
    ],
)
def test_settings_that_are_wrong_are_refused(bundle, values, words):
    with pytest.raises(TagmaskError, match=words):
        tagmask.load(changed(bundle, **values))


def test_graphs_run_on_the_processor_alone(bundle):
    with pytest.raises(TagmaskError, match=r"the device 'cuda' cannot run"):
        tagmask.load(changed(bundle, form="onnx"), "cuda")
