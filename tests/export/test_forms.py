"""Networks written in each form and read back."""

import json
import logging
from importlib.util import find_spec

import pytest
import torch

from exports import KINDS, tiny_network
from tagmask.contracts import Normalization
from tagmask.errors import TagmaskError
from tagmask.export.forms import (
    EXTRAS,
    FILES,
    Trained,
    hushed,
    require_packages,
    write_bundle,
    write_onnx,
    write_openvino,
    write_program,
)
from tagmask.inference import exported
from tagmask.inference.exported import OnnxNetwork, OpenvinoNetwork, TorchExportNetwork
from tagmask.networks.saved import read_facts, save_weights
from tagmask.system import extras

PLAIN = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
SIZES = ((1, 41, 55), (2, 33, 97), (1, 7, 18), (1, 1, 1))


def difference(file_network, network, batch, rows, columns) -> float:
    images = torch.randn(batch, 3, rows, columns, generator=torch.Generator().manual_seed(rows))
    with torch.inference_mode():
        return float((file_network(images) - network(images)).abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_answers_as_torch_at_odd_sizes(kind, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    network = tiny_network(kind)
    write_onnx(Trained(network, tmp_path / "none"), tmp_path / "network.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]
    found = OnnxNetwork(tmp_path / "network.onnx", PLAIN)
    assert all(difference(found, network, *size) < 1e-4 for size in SIZES)
    [images], [logits] = found._session.get_inputs(), found._session.get_outputs()
    assert (images.name, images.shape) == ("images", ["batch", 3, "height", "width"])
    assert (logits.name, logits.shape) == ("logits", ["batch", 5, "grid_height", "grid_width"])


def test_a_torch_program_answers_as_its_network(tmp_path):
    network = tiny_network("semantic_fpn")
    write_program(Trained(network, tmp_path / "none"), tmp_path / "network.pt2")
    found = TorchExportNetwork(tmp_path / "network.pt2", PLAIN)
    assert all(difference(found, network, *size) < 1e-5 for size in SIZES)


def test_a_bundle_keeps_the_weights_and_leaves_out_where_files_lay(tmp_path):
    network = tiny_network("deeplab_v1")
    recipe = {"backbone": {"weights": "/home/anna/w.pth"}, "segmenter": {"backbone": None}}
    save_weights(tmp_path / "a.safetensors", network, {"recipe": json.dumps(recipe), "classes": "[]"})
    write_bundle(Trained(network, tmp_path / "a.safetensors"), tmp_path / "b.safetensors")
    facts = read_facts(tmp_path / "b.safetensors")
    assert json.loads(facts["recipe"])["backbone"]["weights"] == "w.pth"
    assert facts["classes"] == "[]"
    assert b"anna" not in (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("form", "missing", "extra"),
    [
        ("onnx", "onnxscript", "export"),
        ("onnx", "onnxruntime", "export"),
        ("openvino", "openvino", "openvino"),
        ("openvino", "onnx", "openvino"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, form, missing, extra):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == missing else find_spec("numpy"))
    with pytest.raises(TagmaskError, match=rf"{missing} is not installed: pip install 'tagmask\[{extra}\]'"):
        require_packages(form)


def test_every_form_has_a_file():
    assert FILES.keys() >= EXTRAS.keys()
    assert {"bundle", *exported.FORMS} == set(FILES)


def test_remarks_are_hushed_and_heard_again(caplog):
    with hushed():
        logging.getLogger("a").warning("unheard")
    logging.getLogger("a").warning("heard")
    assert [record.message for record in caplog.records] == ["heard"]


@pytest.mark.slow
def test_openvino_answers_as_torch_at_odd_sizes(tmp_path):
    pytest.importorskip("openvino", reason="openvino takes 180 MB, so that the tests do without it")
    network = tiny_network("semantic_fpn")
    write_openvino(Trained(network, tmp_path / "none"), tmp_path / "network.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.bin", "network.xml"]
    found = OpenvinoNetwork(tmp_path / "network.xml", PLAIN)
    assert all(difference(found, network, *size) < 1e-4 for size in SIZES)
