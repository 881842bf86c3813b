import pytest

from tagmask.errors import TagmaskError
from tagmask.reviewing import packages


def test_what_is_missing_is_named_with_the_extra(monkeypatch):
    packages.require_packages()
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(TagmaskError, match=r"starlette and uvicorn not installed: pip install 'tagmask\[review\]'"):
        packages.require_packages()
