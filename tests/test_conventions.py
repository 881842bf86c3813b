import sys
from pathlib import Path

import numpy as np
import pytest

from tagmask import cli
from tagmask.conventions import BACKGROUND, IGNORE, default_run_folder


def test_a_table_that_ends_with_the_unlabelled_number_translates_masks():
    table = np.array([BACKGROUND, 2, 1, IGNORE])  # classes 1 and 2 change places
    mask = np.array([[BACKGROUND, 1, 2, IGNORE]])
    np.testing.assert_array_equal(table[mask], [[BACKGROUND, 2, 1, IGNORE]])


def test_a_run_can_end_at_seeds_masks_or_predictions_and_nowhere_else(capsys, monkeypatch, tmp_path):
    arguments = ["tagmask", "run", "toy", "--out", str(tmp_path / "x"), "--until", "everything"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "'everything' is not one of 'seed', 'mask', 'prediction'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "x").exists()


def test_a_run_begun_within_its_data_lies_beside_them(monkeypatch, tmp_path):
    (tmp_path / "my photos" / "cat").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "my photos")
    assert default_run_folder(Path()) == Path("../runs/my photos")
    assert default_run_folder(Path("cat")) == Path("runs/cat")
    monkeypatch.chdir("cat")
    assert default_run_folder(Path("..")) == Path("../../runs/my photos")
