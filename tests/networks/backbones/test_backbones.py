import contextlib
import copy
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from tagmask.config import Resnet38dBackbone, TimmBackbone
from tagmask.contracts import Level, Normalization
from tagmask.errors import TagmaskError
from tagmask.networks.backbones import BACKBONES, build_backbone
from tagmask.networks.backbones.freezing import freeze
from tagmask.networks.backbones.from_timm import FromTimm
from tagmask.networks.backbones.mxnet_params import DTYPES, V1_MAGIC, V2_MAGIC, read_mxnet_params
from tagmask.networks.backbones.resnet38d import Resnet38d, mxnet_name, read_resnet38d_weights
from tagmask.networks.backbones.weights import load_state, read_weights

SHARED = Path(os.environ.get("TAGMASK_SHARED", "../shared"))
ODD = (65, 97)


def timm_backbone(model: str = "test_resnet", **fields) -> TimmBackbone:
    return TimmBackbone(model=model, **{"weights": "none", **fields})


CONFIGS = {
    "resnet8": timm_backbone(output_stride=8),
    "resnet16": timm_backbone(output_stride=16),
    "resnet32": timm_backbone(output_stride=32),
    "mobilenet": timm_backbone("mobilenetv2_050", pad_type="same"),
    "convnext": timm_backbone("test_convnext"),
    "vit": timm_backbone("test_vit"),
    "channels_last": timm_backbone("test_mambaout", output_stride=32),
    "resnet38d": Resnet38dBackbone(weights="none"),
}


@pytest.fixture(scope="module")
def backbones():
    torch.manual_seed(0)
    return {name: build_backbone(config) for name, config in CONFIGS.items()}


@pytest.fixture(scope="module")
def resnet38d(backbones):
    return backbones["resnet38d"]


# ── the contract ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", CONFIGS)
def test_levels_have_the_declared_channels_and_sizes(backbones, name):
    backbone = backbones[name].eval()
    images = torch.randn(1, 3, *ODD)
    with torch.no_grad():
        grids = backbone.forward_levels(images)
        deepest = backbone(images)
    expected = [(1, level.channels, *(-(-n // level.stride) for n in ODD)) for level in backbone.levels]
    assert [tuple(grid.shape) for grid in grids] == expected
    assert all(torch.isfinite(grid).all() for grid in grids)
    assert torch.equal(deepest, grids[-1])
    assert (backbone.channels, backbone.stride) == (grids[-1].shape[1], backbone.levels[-1].stride)
    strides = [level.stride for level in backbone.levels]
    assert strides == sorted(strides)


@pytest.mark.parametrize("name", CONFIGS)
def test_train_and_eval_agree_without_dropout(backbones, name):
    backbone = backbones[name]
    for layer in backbone.modules():
        if isinstance(layer, nn.Dropout | nn.Dropout2d):
            layer.p = 0.0  # for good: no other test looks at dropout
    images = torch.randn(1, 3, 33, 40)
    with torch.no_grad():
        torch.testing.assert_close(backbone.train()(images), backbone.eval()(images))


@pytest.mark.parametrize("name", CONFIGS)
def test_stages_hold_every_parameter_once(backbones, name):
    backbone = backbones[name]
    held = [id(p) for stage in backbone.stages() for module in stage for p in module.parameters()]
    assert sorted(held) == sorted(id(p) for p in backbone.parameters())


@pytest.mark.parametrize("name", ["resnet16", "mobilenet", "convnext", "vit"])
def test_every_learning_parameter_gets_a_gradient(backbones, name):
    backbone = copy.deepcopy(backbones[name]).train()
    torch.stack([grid.square().sum() for grid in backbone.forward_levels(torch.randn(2, 3, 48, 64))]).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in backbone.parameters())


def test_every_kind_of_settings_has_a_backbone():
    assert set(BACKBONES) == {TimmBackbone, Resnet38dBackbone}


# ── timm ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_features_behind_the_last_stage_are_the_deepest_level(backbones):
    backbone = backbones["mobilenet"].eval()
    images = torch.randn(1, 3, *ODD)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), backbone.model.forward_features(images))
    assert [level.channels for level in backbone.levels[-2:]] == [160, 1280]


def test_same_tensor_is_not_listed_twice(backbones):
    assert backbones["resnet16"].levels == (Level(32, 2), Level(32, 4), Level(48, 8), Level(192, 16), Level(96, 16))


def test_transformer_sees_the_image_padded_with_the_mean_colour(backbones):
    backbone = backbones["vit"].eval()
    images = torch.randn(1, 3, *ODD)
    padded = torch.zeros(1, 3, 80, 112)
    padded[:, :, : ODD[0], : ODD[1]] = images
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), backbone(padded))
        tokens = backbone.model.forward_features(padded)[:, 1:]
        torch.testing.assert_close(backbone(padded), tokens.transpose(1, 2).reshape(1, -1, 5, 7))


@pytest.mark.parametrize(("model", "stride"), [("resnet26d", 16), ("test_resnet", 8)])
def test_undilated_kernels_keep_the_grids(model, stride):
    dilated, undilated = (
        build_backbone(timm_backbone(model, output_stride=stride, dilated=wanted)).eval() for wanted in (True, False)
    )
    assert largest_dilation(dilated) > 1
    assert largest_dilation(undilated) == 1
    assert undilated.levels == dilated.levels
    images = torch.randn(1, 3, 33, 47)
    with torch.no_grad():
        grids = [[grid.shape for grid in each.forward_levels(images)] for each in (dilated, undilated)]
    assert grids[0] == grids[1]
    shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (dilated, undilated)]
    assert shapes[0] == shapes[1]


def largest_dilation(network: nn.Module) -> int:
    return max(max(layer.dilation) for layer in network.modules() if isinstance(layer, nn.Conv2d))


def test_normalization_is_the_models_unless_given(backbones):
    assert backbones["mobilenet"].normalization == Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    given_mean = FromTimm(timm_backbone(mean=(0.1, 0.2, 0.3))).normalization
    assert given_mean == Normalization((0.1, 0.2, 0.3), tuple(timm.get_pretrained_cfg("test_resnet").std))


@pytest.mark.parametrize(("model", "asked", "message"), [("test_mambaout", 16, "32"), ("test_vit", 8, "16")])
def test_impossible_stride_names_the_possible_one(model, asked, message):
    with pytest.raises(TagmaskError, match=f"set output_stride: {message}"):
        FromTimm(timm_backbone(model, output_stride=asked))


def test_patch_of_fourteen_counts_as_sixteen():
    backbone = FromTimm(timm_backbone("vit_tiny_patch16_224.augreg_in21k", output_stride=16))
    assert backbone.stride == 16
    assert FromTimm(timm_backbone("eva02_tiny_patch14_224", output_stride=16)).stride == 14


def test_unknown_model_names_near_ones():
    with pytest.raises(TagmaskError, match="resnet50"):
        FromTimm(timm_backbone("resnet5"))


def test_model_for_one_image_size_is_refused():
    with pytest.raises(TagmaskError, match="every image size"):
        FromTimm(timm_backbone("maxvit_rmlp_pico_rw_256", output_stride=32))


def test_refused_pad_type_is_explained():
    with pytest.raises(TagmaskError, match="pad_type"):
        FromTimm(timm_backbone("test_resnet", pad_type="same"))


def test_no_network_says_how_to_give_a_file(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("name or service not known")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(TagmaskError, match=r"set `weights` to the local .safetensors"):
        FromTimm(timm_backbone(weights="pretrained"))


def test_removed_classifiers_hidden_layers_do_not_learn():
    backbone = FromTimm(timm_backbone("mobilenetv3_small_050", output_stride=32))
    assert not any(p.requires_grad for p in backbone.model.conv_head.parameters())
    assert all(p.requires_grad for p in backbone.model.blocks.parameters())


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(1)
    return timm.create_model("test_resnet", pretrained=False, num_classes=7)


def same_weights(backbone: FromTimm, source: nn.Module) -> bool:
    stored = source.state_dict()
    return all(torch.equal(tensor, stored[name]) for name, tensor in backbone.model.state_dict().items())


def test_safetensors_load_without_their_classifier(source, tmp_path):
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    assert same_weights(FromTimm(timm_backbone(weights=str(tmp_path / "w.safetensors"))), source)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_pth_is_unwrapped(source, tmp_path, wrapper):
    state = {f"module.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    assert same_weights(FromTimm(timm_backbone(weights=str(tmp_path / "w.pth"))), source)


def test_misfits_are_named(source):
    network, state = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), {}
    state = network.state_dict()
    del state["1.num_batches_tracked"]
    load_state(network, state, "file")
    with pytest.raises(TagmaskError, match=r"file do not fit Sequential: 1 missing \(1.bias\)"):
        load_state(network, {k: v for k, v in state.items() if k != "1.bias"}, "file")
    with pytest.raises(TagmaskError, match=r"1 unexpected \(extra\)"):
        load_state(network, {**state, "extra": torch.zeros(1)}, "file")
    with pytest.raises(TagmaskError, match=r"0.bias \(5,\) for \(4,\)"):
        load_state(network, {**state, "0.bias": torch.zeros(5)}, "file")


class Payload:
    def __reduce__(self):
        return print, ("run",)


def test_unreadable_files_are_refused(tmp_path, capsys):
    with pytest.raises(TagmaskError, match="no weights file"):
        read_weights(tmp_path / "absent.pth")
    (tmp_path / "w.onnx").write_bytes(b"x")
    with pytest.raises(TagmaskError, match=r"expected a \.safetensors"):
        read_weights(tmp_path / "w.onnx")
    for name in ("garbage.pth", "garbage.safetensors"):
        (tmp_path / name).write_bytes(b"\x01garbage" * 9)
        with pytest.raises(TagmaskError, match="could not be read"):
            read_weights(tmp_path / name)
    torch.save({"a": Payload()}, tmp_path / "code.pth")
    with pytest.raises(TagmaskError, match="more than tensors"):
        read_weights(tmp_path / "code.pth")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    with pytest.raises(TagmaskError, match="no state dict"):
        read_weights(tmp_path / "numbers.pth")
    assert capsys.readouterr().out == ""


def test_real_mobilenet_file():
    path = SHARED / "weights/mobilenetv2_100.tflite_in1k.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}")
    config = timm_backbone("mobilenetv2_100", weights=str(path), pad_type="same", frozen_stages=2)
    backbone = build_backbone(config).train()
    with torch.no_grad():
        features = backbone(torch.randn(2, 3, *ODD))
    assert features.shape == (2, 1280, 5, 7)
    assert 0.01 < features.mean() < 1.5


# ── freezing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.named_buffers() if tensor.is_floating_point()}


def moved_statistics(network: nn.Module) -> set[str]:
    """Names of the statistics that a forward pass in training mode changes."""
    before = statistics(network)
    network.train()(torch.randn(2, 3, 64, 64))
    return {name for name, tensor in statistics(network).items() if not torch.equal(tensor, before[name])}


def learning(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def affine(network: nn.Module) -> int:
    return sum(2 * layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))


def test_batch_norm_modes():
    total = learning(FromTimm(timm_backbone()))
    train, fixed, frozen = (build_backbone(timm_backbone(batch_norm=mode)) for mode in ("train", "fixed", "frozen"))
    assert (learning(train), learning(fixed), learning(frozen)) == (total, total, total - affine(frozen))
    assert moved_statistics(train) == set(statistics(train))
    assert moved_statistics(fixed) == moved_statistics(frozen) == set()


def test_frozen_stages_keep_weights_and_statistics():
    backbone = build_backbone(timm_backbone(batch_norm="train", frozen_stages=2))
    stages = [nn.ModuleList(stage) for stage in backbone.stages()]
    assert [learning(stage) > 0 for stage in stages] == [False, False, True, True, True]
    moved = moved_statistics(backbone)
    still = {name for name in statistics(backbone) if name.startswith(("model.conv1", "model.bn1", "model.layer1"))}
    assert still
    assert moved == set(statistics(backbone)) - still


@pytest.mark.parametrize("again", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_freezing_survives_copies(again):
    backbone = build_backbone(timm_backbone("mobilenetv2_050", batch_norm="frozen", frozen_stages=1))
    copied = again(backbone)
    copied.load_state_dict(backbone.state_dict())
    assert learning(copied) == learning(backbone) > 0
    assert moved_statistics(copied) == set()


def test_freezing_twice_is_freezing_once():
    backbone = build_backbone(timm_backbone())
    freeze(backbone, 0, "fixed")
    assert {len(m._forward_pre_hooks) for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)} == {1}


def test_more_stages_than_there_are():
    with pytest.raises(TagmaskError, match="frozen_stages is 6, but the backbone has 5"):
        build_backbone(timm_backbone(frozen_stages=6))


# ── Wide ResNet-38 ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_resnet38d_counts(resnet38d):
    classifier = 20 * 4096
    assert sum(p.numel() for p in resnet38d.parameters()) + classifier == 105_152_832
    assert learning(resnet38d) + classifier == 104_284_160
    assert resnet38d.levels[1:] == (Level(512, 8), Level(1024, 8), Level(4096, 8))
    assert len(resnet38d.stages()) == 7


def test_resnet38d_names_and_shapes_are_the_published_ones(resnet38d):
    path = SHARED / "golden/network_keys.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    expected = json.loads(path.read_text())["resnet38d_backbone"]["keys"]
    assert {name: list(tensor.shape) for name, tensor in resnet38d.state_dict().items()} == expected


def test_resnet38d_epsilon_is_a_setting():
    with torch.device("meta"):
        backbone = Resnet38d(Resnet38dBackbone(weights="none", batch_norm_eps=1.001e-5))
    assert {layer.eps for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d)} == {1.001e-5}


def published_name(name: str) -> str:
    """The MXNet name of one of our tensors, written down independently of the reader."""
    block, *middle, field = name.split(".")
    field = {"running_mean": "moving_mean", "running_var": "moving_var", "bias": "beta"}.get(field, field)
    if not middle:
        return f"{block}_{field if block == 'conv1a' or field != 'weight' else 'gamma'}"
    kind, branch = middle[0].split("_", 1)
    level, _, index = block[1:].partition("_")
    field = "gamma" if kind == "bn" and field == "weight" else field
    return f"{'res' if kind == 'conv' else 'bn'}{level}{'b' + index if index else 'a'}_{branch}_{field}"


def test_mxnet_names_cover_every_tensor(resnet38d):
    names = [name for name in resnet38d.state_dict() if not name.endswith("num_batches_tracked")]
    assert [mxnet_name(f"arg:{published_name(name)}") for name in names] == names


def test_unknown_mxnet_names_stay():
    assert mxnet_name("arg:res2a_weight") == "arg:res2a_weight"
    assert mxnet_name("data") == "data"


def test_resnet38d_refuses_other_weights(tmp_path):
    path = tmp_path / "w.params"
    path.write_bytes(params_file({"arg:conv1a_weight": np.zeros((64, 3, 3, 3), "<f4")}, "V2"))
    with torch.device("meta"), pytest.raises(TagmaskError, match="missing"):
        Resnet38d(Resnet38dBackbone(weights=str(path)))


# ── MXNet .params files ──────────────────────────────────────────────────────────────────────────────────────────────

FORMS = ("V2", "V1", "legacy")


def params_array(array: np.ndarray, form: str) -> bytes:
    head = {"V2": struct.pack("<Ii", V2_MAGIC, 0), "V1": struct.pack("<I", V1_MAGIC), "legacy": b""}[form]
    dims = struct.pack(f"<I{array.ndim}{'I' if form == 'legacy' else 'q'}", array.ndim, *array.shape)
    if not array.ndim:
        return head + dims
    flag = [np.dtype(d) for d in DTYPES].index(array.dtype)
    return head + dims + struct.pack("<iii", 1, 0, flag) + array.tobytes()


def params_file(arrays: dict[str, np.ndarray], form: str) -> bytes:
    names = b"".join(struct.pack("<Q", len(n.encode())) + n.encode() for n in arrays)
    body = b"".join(params_array(a, form) for a in arrays.values())
    return struct.pack("<QQQ", 0x112, 0, len(arrays)) + body + struct.pack("<Q", len(arrays)) + names


ARRAYS = {
    f"arg:é{i}": np.arange(12).astype(dtype).reshape(shape)
    for i, (dtype, shape) in enumerate(
        zip(DTYPES, [(12,), (3, 4), (1, 12), (2, 3, 2), (12, 1), (4, 3), (2, 6)], strict=True)
    )
}


@pytest.fixture(scope="module")
def params_path(tmp_path_factory):
    return tmp_path_factory.mktemp("params") / "w.params"


@pytest.mark.parametrize("form", FORMS)
def test_params_round_trip(params_path, form):
    params_path.write_bytes(params_file(ARRAYS, form))
    read = read_mxnet_params(params_path)
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_params_under_our_names(params_path):
    arrays = {"arg:bn7_gamma": np.ones(3, "<f4"), "arg:linear1000_bias": np.ones(2, "<f4")}
    params_path.write_bytes(params_file(arrays, "V2"))
    weights = read_resnet38d_weights(params_path)
    assert list(weights) == ["bn7.weight"]
    torch.testing.assert_close(weights["bn7.weight"], torch.ones(3))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(FORMS))
def test_truncated_params_are_refused(params_path, data, form):
    whole = params_file(ARRAYS, form)
    params_path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(TagmaskError, match=r"no readable MXNet \.params file"):
        read_mxnet_params(params_path)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(FORMS))
def test_damaged_params_are_read_or_refused(params_path, data, form):
    damaged = bytearray(params_file(ARRAYS, form))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    params_path.write_bytes(damaged)
    with contextlib.suppress(TagmaskError):
        assert len(read_mxnet_params(params_path)) == len(ARRAYS)


def test_announced_sizes_are_not_believed(params_path):
    head = struct.pack("<QQQ", 0x112, 0, 1)
    for body, reason in [
        (struct.pack("<IiIq", V2_MAGIC, 0, 1, 2**62) + struct.pack("<iii", 1, 0, 0), "left"),
        (struct.pack("<IiI", V2_MAGIC, 0, 2**31), "dimension count"),
        (struct.pack("<IiIq", V2_MAGIC, 0, 1, -1), "negative"),
        (struct.pack("<Ii", V2_MAGIC, 1), "storage type"),
        (struct.pack("<I", 0xF993FACA), "unknown array form"),
        (struct.pack("<IIiii", 1, 1, 1, 0, 99), "dtype"),
    ]:
        params_path.write_bytes(head + body)
        with pytest.raises(TagmaskError, match=reason):
            read_mxnet_params(params_path)
    params_path.write_bytes(struct.pack("<QQQ", 0x112, 0, 2**63))
    with pytest.raises(TagmaskError, match="left"):
        read_mxnet_params(params_path)


def test_unnamed_surplus_and_absent_params(params_path, tmp_path):
    good = params_file({"a": np.ones(2, "<f4")}, "V2")
    params_path.write_bytes(good + b"\0")
    with pytest.raises(TagmaskError, match="1 bytes too many"):
        read_mxnet_params(params_path)
    params_path.write_bytes(good[:-17] + struct.pack("<Q", 0))
    with pytest.raises(TagmaskError, match="number of names"):
        read_mxnet_params(params_path)
    with pytest.raises(TagmaskError, match="no weights file"):
        read_mxnet_params(tmp_path / "absent.params")


def test_empty_array_ends_after_its_shape(params_path):
    params_path.write_bytes(params_file({"a": np.array(0, "<f4"), "b": np.ones(2, "<f4")}, "V2"))
    assert [array.shape for array in read_mxnet_params(params_path).values()] == [(0,), (2,)]
