import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from networks.backbones.mxnet_writer import params_file
from tagmask.errors import TagmaskError
from tagmask.networks.backbones.mxnet_params import DTYPES, V2_MAGIC, read_mxnet_params

FORMS = ("V2", "V1", "legacy")
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
def test_arrays_return_in_every_form_and_type(params_path, form):
    params_path.write_bytes(params_file(ARRAYS, form))
    read = read_mxnet_params(params_path)
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(FORMS))
def test_truncated_files_are_refused(params_path, data, form):
    whole = params_file(ARRAYS, form)
    params_path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(TagmaskError, match=r"no readable MXNet \.params file"):
        read_mxnet_params(params_path)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(FORMS))
def test_damaged_files_are_read_or_refused(params_path, data, form):
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


def test_unnamed_arrays_surplus_bytes_and_absent_files_are_refused(params_path, tmp_path):
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


def test_names_are_text_and_each_is_there_once(params_path):
    whole = params_file({"ab": np.ones(1, "<f4"), "cd": np.ones(1, "<f4")}, "V2")
    for other, reason in [(b"ab", "a name occurs twice"), (b"\xff\xfe", "a name is not UTF-8")]:
        params_path.write_bytes(whole.removesuffix(b"cd") + other)
        with pytest.raises(TagmaskError, match=reason):
            read_mxnet_params(params_path)


def test_other_files_are_told_by_their_first_bytes(params_path):
    params_path.write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(TagmaskError, match=r"magic number is 0x4034b50, expected 0x112"):
        read_mxnet_params(params_path)
