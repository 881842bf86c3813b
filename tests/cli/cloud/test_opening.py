from pathlib import Path

import pytest

from tagmask.cli.cloud.opening import local, opened
from tagmask.cli.words import folder_or_url
from tagmask.errors import TagmaskError
from tagmask.system.cloud.urls import Url


def test_urls_become_folders_and_all_else_stays(bucket, tmp_path):
    bucket.pipe_file("/photos/a.jpg", b"one")
    folder = opened(folder_or_url("memory://photos"))
    assert (folder / "a.jpg").read_bytes() == b"one"
    assert local("memory://photos") == str(folder)
    assert opened(folder_or_url(str(tmp_path))) == tmp_path
    assert [opened(value) for value in ("s3://later", None, 3)] == ["s3://later", None, 3]
    assert local("toy") == "toy"


def test_where_a_folder_is_worked_in_a_url_is_refused(tmp_path, monkeypatch):
    with pytest.raises(TagmaskError, match=r"s3:/bucket/run is a place in storage.*tagmask sync"):
        opened(Path("s3://bucket/run"))
    monkeypatch.chdir(tmp_path)
    Path("ab:/c").mkdir(parents=True)
    assert opened(Path("ab:/c")) == Path("ab:/c")


def test_a_word_of_its_own_tells_urls_from_paths():
    assert isinstance(folder_or_url("s3://bucket"), Url)
    assert folder_or_url("C:/photos") == Path("C:/photos")
