"""What tests of commands share: a call, photographs, a run whose classifier is trained."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from typed import call, settings


@pytest.fixture
def run(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, *arguments)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photographs of cats and dogs with a table of tags."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["image,tags,split"]
    for i in range(6):
        Image.fromarray(random.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{'cat' if i % 2 else 'dog'},{'val' if i > 3 else 'train'}")
    (folder / "tags.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def begun(run, tmp_path, photos) -> Path:
    """A run whose classifier is trained."""
    assert run("begin", "folder-cpu-cam", "--data", photos, "--out", tmp_path / "x", *settings())[0] == 0
    assert run("train-method", tmp_path / "x")[0] == 0
    return tmp_path / "x"
