import pytest
from PIL import Image

from doctor.invented import dataset
from tagmask.config import FolderData, ToyData
from tagmask.doctor.mask_findings import mask_findings

IMAGES = dataset(["cat"], [(0,), (0,), ()])


@pytest.fixture
def data(tmp_path):
    """Masks of two of three images, and one of another."""
    for name in ("train/000", "train/002", "other"):
        (tmp_path / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def test_masks_that_no_setting_names_are_told_with_the_setting(data):
    (said,) = mask_findings(IMAGES, FolderData(), data)
    assert (said.key, said.severity, said.about) == ("masks-not-used", "note", ("masks",))
    assert "named like 2 of the 3 images" in said.what
    assert "data.masks=masks" in said.do


def test_nothing_is_said_of_masks_in_use_or_where_there_are_none(data, tmp_path_factory):
    assert list(mask_findings(IMAGES, FolderData(masks="masks"), data)) == []
    assert list(mask_findings(IMAGES, ToyData(), None)) == []
    empty = tmp_path_factory.mktemp("empty")
    assert list(mask_findings(IMAGES, FolderData(), empty)) == []
    (empty / "masks").mkdir()
    assert list(mask_findings(IMAGES, FolderData(), empty)) == []
