import csv

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tagmask.contracts import Record
from tagmask.errors import TagmaskError
from tagmask.stages.masks.quality import read_quality, write_quality
from tagmask.stages.run_folder import RunFolder


@pytest.fixture
def run(tmp_path):
    (tmp_path / "confidence").mkdir()
    for name, value in {"b": 0.75, "a, with comma": 0.5, "c": 0.5}.items():
        header = PngInfo()
        header.add_text("quality", f"{value:.6f}")
        Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "confidence" / f"{name}.png", pnginfo=header)
    return RunFolder(tmp_path)


def test_the_least_trustworthy_come_first_and_names_may_be_anything(run):
    write_quality(run, [Record(name, (0,), "train") for name in ("b", "c", "a, with comma")])
    with run.quality.open(newline="") as file:
        assert [*csv.reader(file)] == [
            ["image", "quality"],
            ["a, with comma", "0.500000"],
            ["c", "0.500000"],
            ["b", "0.750000"],
        ]


def test_a_confidence_that_another_program_has_written_anew_is_told(run):
    path = run.confidence("b")
    with Image.open(path) as image:
        values = np.asarray(image)
    Image.fromarray(values).save(path)
    with pytest.raises(TagmaskError, match=r"b\.png has lost its quality number; delete it"):
        read_quality(path)
