import pytest

from tagmask.errors import TagmaskError
from tagmask.system import extras
from tagmask.system.extras import require


def test_what_is_missing_is_named_with_the_extra(monkeypatch):
    require("review", "numpy")
    with pytest.raises(TagmaskError, match=r"no_such_package is not installed: pip install 'tagmask\[export\]'"):
        require("export", "numpy", "no_such_package")
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(TagmaskError, match=r"starlette and uvicorn are not installed: pip install 'tagmask\[review\]'"):
        require("review", "starlette", "uvicorn")


def test_a_folder_of_the_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "supervisions").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TagmaskError, match="supervisions is not installed"):
        require("supervision", "supervisions")
