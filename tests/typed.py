"""Commands as people type them: settings for a run of seconds, and what a refusal looks like."""

import sys
from pathlib import Path

import pytest

from tagmask import cli

TINY = {
    "backbone.model": "test_resnet",
    "backbone.weights": "none",
    "training.epochs": "null",
    "training.steps": "2",
    "training.batch_size": "2",
    "training.augment.crop": "64",
    "training.augment.long_side": "null",
    "training.workers": "0",
    "maps.workers": "0",
}


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str]:
    """Exit code and everything printed."""
    monkeypatch.setattr(sys, "argv", ["tagmask", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out + printed.err


def settings(**changes: str) -> list[str]:
    """Settings that make folder-cpu a matter of seconds."""
    merged = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    return [part for key, value in merged.items() for part in ("--set", f"{key}={value}")]


def refused(code: int, text: str, *expected: str) -> None:
    """Exit code 2, one message that names all that is expected, no traceback."""
    assert code == 2, text
    assert "Traceback" not in text
    flat = " ".join(text.split())
    for part in expected:
        assert part in flat, f"{part!r} is not in: {flat}"


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
