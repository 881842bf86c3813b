import numpy as np
import yaml
from PIL import Image

from exchange.conftest import drawn_mask
from tagmask.conventions import IGNORE
from tagmask.exchange.formats import ultralytics_semantic


def test_the_layout_is_that_of_the_documentation(parcel):
    assert ultralytics_semantic.write(parcel) == []
    assert {path.relative_to(parcel.folder).as_posix() for path in parcel.folder.rglob("*.*")} == {
        *("data.yaml", "masks/train/a__1.png", "masks/train/b_2.png", "masks/val/c.png")
    }
    assert yaml.safe_load((parcel.folder / "data.yaml").read_text()) == {
        **{"train": "images/train", "val": "images/val", "masks_dir": "masks"},
        "names": {0: "background", 1: "cat", 2: "big dog"},
    }
    with Image.open(parcel.folder / "masks" / "val" / "c.png") as image:
        mask = drawn_mask(2)
        assert np.array_equal(np.array(image), np.where(mask == IGNORE, 255, mask))
