"""Masks over HTTP."""

import sys

import pytest

from typed import refused


def test_serve_without_a_model(run, tmp_path):
    pytest.importorskip("uvicorn", reason="starlette and uvicorn belong to the development group: make setup")
    refused(*run("serve", tmp_path / "no", "--port", "0"), "no trained segmenter")


def test_serve_without_its_packages_names_the_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused(*run("serve", tmp_path), "uvicorn is not installed: pip install 'tagmask[serve]'")
