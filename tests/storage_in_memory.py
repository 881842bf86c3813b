"""Fixtures of tests with storage: one in memory, empty at the beginning of every test, and a cache."""

import pytest
from fsspec.implementations.memory import MemoryFileSystem


@pytest.fixture
def bucket():
    """fsspec's storage in memory."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield MemoryFileSystem()
    MemoryFileSystem.store.clear()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("TAGMASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
