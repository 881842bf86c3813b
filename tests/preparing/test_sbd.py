import numpy as np
import pytest
from scipy.io import savemat

import published_trees as published
from tagmask.errors import TagmaskError
from tagmask.preparing.sbd import mask_file, read_sbd_mask, sbd_folder, sbd_ids


@pytest.mark.parametrize("below", ["", "benchmark_RELEASE", "benchmark_RELEASE/dataset"])
def test_lists_and_masks_wherever_the_folder_begins(tmp_path, below):
    published.sbd(tmp_path)
    folder = sbd_folder(tmp_path / below)
    assert len(sbd_ids(folder)) == len(published.SBD_TRAIN) + len(published.SBD_VAL)
    mask = read_sbd_mask(mask_file(folder, published.voc_id(30)))
    assert np.array_equal(mask, published.voc_scene(30)[1])
    assert set(np.unique(mask)) == {0, 11, 18}  # 30 % 20 + 1 and 37 % 20 + 1


def test_a_folder_without_sbd(tmp_path):
    with pytest.raises(TagmaskError, match=r"give benchmark\.tgz"):
        sbd_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"GTinst": {"Segmentation": np.zeros((2, 2), np.uint8)}}, "cannot read"),
        ({"GTcls": {"Boundaries": 1}}, "cannot read"),
        ({"GTcls": {"Segmentation": np.zeros((2, 2))}}, "2 axes in float64"),
        ({"GTcls": {"Segmentation": np.zeros((2, 2, 3), np.uint8)}}, "3 axes in uint8"),
    ],
)
def test_what_is_no_class_mask_is_refused(tmp_path, content, words):
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(TagmaskError, match=words):
        read_sbd_mask(tmp_path / "a.mat")


@pytest.mark.parametrize("bytes_", [b"", b"<html>", b"MATLAB 5.0 MAT-file" + b" " * 200])
def test_damaged_files_are_refused(tmp_path, bytes_):
    (tmp_path / "a.mat").write_bytes(bytes_)
    with pytest.raises(TagmaskError, match="expected GTcls"):
        read_sbd_mask(tmp_path / "a.mat")


def test_a_missing_or_cut_file(tmp_path):
    with pytest.raises(TagmaskError, match="no such file"):
        read_sbd_mask(tmp_path / "a.mat")
    published.sbd_mask(tmp_path / "a.mat", published.voc_scene(0)[1])
    whole = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TagmaskError, match="cannot read"):
        read_sbd_mask(tmp_path / "a.mat")
