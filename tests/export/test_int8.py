import numpy as np
import pytest
import torch

from exports import tiny_network
from tagmask.contracts import Normalization
from tagmask.export.forms import Trained, write_onnx
from tagmask.export.int8 import write_int8
from tagmask.inference.exported import OnnxNetwork

PLAIN = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_eight_bits_answer_nearly_as_thirty_two(kind, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    network, file = tiny_network("deeplab_v1"), tmp_path / "network.onnx"
    write_onnx(Trained(network, tmp_path / "none"), file)
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    images = [random.standard_normal((1, 3, 33, 41 + i)).astype(np.float32) for i in range(3)]
    write_int8(file, kind, images)
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]
    assert file.read_bytes() != whole
    with torch.inference_mode():
        theirs = network(torch.from_numpy(images[0]))
        ours = OnnxNetwork(file, PLAIN)(torch.from_numpy(images[0]))
    difference = (ours - theirs).abs().max() / theirs.std()
    assert 0 < difference < 0.5
