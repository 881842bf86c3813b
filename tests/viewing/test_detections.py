import importlib.util

import numpy as np
import pytest

from exchange.conftest import drawn_mask
from tagmask.errors import TagmaskError
from tagmask.viewing.detections import detections


def test_each_part_of_a_class_is_a_detection():
    pytest.importorskip("supervision", reason="supervision is not installed")
    mask = np.array([[1, 0, 0, -1], [1, 0, 2, 2], [0, 1, 2, 2]], np.int32)
    found = detections(mask, ("cat", "dog"))
    assert found.xyxy.tolist() == [[0, 0, 1, 2], [1, 2, 2, 3], [2, 1, 4, 3]]
    assert found.class_id.tolist() == [0, 0, 1]
    assert found.data["class_name"].tolist() == ["cat", "cat", "dog"]
    assert found.mask.sum(axis=(1, 2)).tolist() == [2, 1, 4]
    assert np.array_equal(found.mask[2], mask == 2)


def test_all_of_a_mask_comes_back_from_its_detections():
    pytest.importorskip("supervision", reason="supervision is not installed")
    mask = drawn_mask(3)
    painted = np.zeros_like(mask)
    for region, number in zip((found := detections(mask, ("cat", "dog"))).mask, found.class_id, strict=True):
        painted[region] = number + 1
    assert np.array_equal(painted, np.maximum(mask, 0))


def test_background_alone_is_no_detection():
    pytest.importorskip("supervision", reason="supervision is not installed")
    found = detections(np.zeros((3, 5), np.int32), ("cat",))
    assert len(found) == 0
    assert found.mask.shape == (0, 3, 5)


def test_what_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("tagmask.system.extras.find_spec", lambda name: None)
    with pytest.raises(TagmaskError, match=r"pip install 'tagmask\[supervision\]'"):
        detections(np.zeros((3, 5), np.int32), ("cat",))
