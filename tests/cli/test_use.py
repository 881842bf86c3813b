"""What a finished run is for."""

import webbrowser

import pytest

from tagmask.cli import use
from tagmask.reviewing import packages, server
from typed import refused


def test_predict_without_a_model_or_images(run, tmp_path, photos):
    refused(*run("predict", photos, "--model", tmp_path / "no", "--out", tmp_path / "out"), "no trained segmenter")
    refused(*run("predict", tmp_path / "no", "--model", tmp_path, "--out", tmp_path / "out"), "no such image or folder")


@pytest.fixture
def opened(monkeypatch):
    """Addresses that would have been opened, by a server that ends as soon as it has announced one."""
    found = []
    monkeypatch.setattr(webbrowser, "open", found.append)
    monkeypatch.setattr(server, "serve", lambda run, port, announce: announce(f"http://127.0.0.1:{port}/word/"))
    return found


def test_review_prints_the_address_and_opens_it_where_there_is_a_display(run, tiny_run, opened, monkeypatch):
    monkeypatch.setattr(use, "_has_display", lambda: True)
    code, text = run("review", tiny_run.folder.path, "--port", 8123)
    assert code == 0
    assert "http://127.0.0.1:8123/word/" in text
    assert opened == ["http://127.0.0.1:8123/word/"]
    assert run("review", tiny_run.folder.path, "--no-browser")[0] == 0
    monkeypatch.setattr(use, "_has_display", lambda: False)
    assert run("review", tiny_run.folder.path)[0] == 0
    assert len(opened) == 1


def test_a_display_is_known_by_the_environment(monkeypatch):
    monkeypatch.setattr(use.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not use._has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert use._has_display()


def test_review_without_its_packages_a_run_or_masks(run, tmp_path, begun, monkeypatch):
    refused(*run("review", tmp_path), "holds no run")
    refused(*run("review", begun), "run `tagmask make-masks", "first")
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    refused(*run("review", begun), "pip install 'tagmask[review]'")
