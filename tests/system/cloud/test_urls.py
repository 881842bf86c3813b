from pathlib import Path

import pytest

from tagmask.system.cloud.urls import is_url, shown, was_url


@pytest.mark.parametrize("text", ["s3://b", "gs://b/a", "abfs+x://b", "file:///a", "S3://b"])
def test_addresses(text):
    assert is_url(text)


@pytest.mark.parametrize("text", ["", "a/b", "/a//b", "C:/a", "C://a", "s3:/b", "://b", Path("s3://b")])
def test_paths(text):
    assert not is_url(text)


def test_a_path_that_was_an_address():
    assert was_url(Path("s3://bucket/photos"))
    assert not was_url(Path("/a/s3:/b"))


def test_passwords_are_not_shown():
    assert shown("sftp://me:secret@host/a@b") == "sftp://host/a@b"
    assert shown("s3://bucket/a") == "s3://bucket/a"
