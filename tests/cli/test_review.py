"""The page on which a person looks through the masks of a run."""

import webbrowser

import pytest

from tagmask.cli import review as module
from tagmask.reviewing import server
from tagmask.system import extras
from typed import refused


@pytest.fixture
def opened(monkeypatch):
    """Addresses that would have been opened, by a server that ends as soon as it has announced one."""
    found = []
    monkeypatch.setattr(webbrowser, "open", found.append)
    monkeypatch.setattr(server, "serve", lambda run, port, announce: announce(f"http://127.0.0.1:{port}/word/"))
    return found


def test_review_prints_the_address_and_opens_it_where_there_is_a_display(run, tiny_run, opened, monkeypatch):
    monkeypatch.setattr(module, "_has_display", lambda: True)
    code, text = run("review", tiny_run.folder.path, "--port", 8123)
    assert code == 0
    assert "http://127.0.0.1:8123/word/" in text
    assert opened == ["http://127.0.0.1:8123/word/"]
    assert run("review", tiny_run.folder.path, "--no-browser")[0] == 0
    monkeypatch.setattr(module, "_has_display", lambda: False)
    assert run("review", tiny_run.folder.path)[0] == 0
    assert len(opened) == 1


def test_a_display_is_known_by_the_environment(monkeypatch):
    monkeypatch.setattr(module.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not module._has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert module._has_display()


def test_review_without_its_packages_a_run_or_masks(run, tmp_path, begun, monkeypatch):
    refused(*run("review", tmp_path), "holds no run")
    refused(*run("review", begun), "run `tagmask make-masks", "first")
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    refused(*run("review", begun), "pip install 'tagmask[review]'")
