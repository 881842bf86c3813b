import base64
import datetime
import hashlib
import sys

import pytest

from tagmask.errors import TagmaskError
from tagmask.system.cloud import places
from tagmask.system.cloud.places import Entry, LocalFolder, Storage, place_at
from tagmask.system.cloud.urls import Url

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"  # MD5 of nothing, as RFC 1321 lists it


def test_paths_and_file_urls_are_folders_of_this_machine(tmp_path):
    assert place_at(tmp_path) == place_at(f"file://{tmp_path}") == LocalFolder(tmp_path)


def test_a_folder_lists_its_files_and_says_what_it_passes_over(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c.txt").write_bytes(b"four")
    (tmp_path / "a/.0123abcd-1-ff.tmp.png").write_bytes(b"half")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "gone.jpg").symlink_to("/nowhere.jpg")
    found = LocalFolder(tmp_path).listing()
    assert {name: entry.size for name, entry in found.files.items()} == {"a/b/c.txt": 4}
    assert found.passed_over == ("gone.jpg", "link")
    assert LocalFolder(tmp_path / "none").listing().files == {}
    with pytest.raises(TagmaskError, match="is a file; expected a folder"):
        LocalFolder(tmp_path / "a/b/c.txt").listing()


def test_digests_of_files(tmp_path):
    (tmp_path / "a").touch()
    assert LocalFolder(tmp_path).md5("a") == EMPTY
    with pytest.raises(TagmaskError, match="cannot be read: No such file"):
        LocalFolder(tmp_path).md5("b")


def test_storage_lists_fetches_puts_and_removes(bucket, tmp_path):
    place = place_at("memory://photos/2024/")
    assert place.listing().files == {}
    (tmp_path / "a").write_bytes(b"four")
    place.put(tmp_path / "a", "x/a")
    bucket.pipe_file("/photos/2024-other/b", b"")
    bucket.store["/photos/2024/marker/"] = bucket.store["/photos/2024-other/b"]
    assert {name: entry.size for name, entry in place.listing().files.items()} == {"x/a": 4}
    place.fetch("x/a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"four"
    place.remove("x/a")
    assert place.listing().files == {}


def test_a_file_and_its_parent(bucket):
    bucket.pipe_file("/photos/a/b.jpg", b"four")
    place = place_at("memory://photos/a/b.jpg")
    assert place.is_file()
    assert not place.parent().is_file()
    assert str(place.parent()) == "memory://photos/a"
    assert list(place.parent().listing().files) == ["b.jpg"]


def test_what_storage_raises_is_told_in_words_without_passwords(bucket, tmp_path):
    place = Storage(Url("memory://me:secret@photos"), bucket, "/photos")
    with pytest.raises(TagmaskError, match=r"^memory://photos/a: .*is the address right") as told:
        place.fetch("a", tmp_path / "a")
    assert "secret" not in str(told.value)


def test_unknown_kinds_and_missing_packages_are_named(monkeypatch):
    with pytest.raises(TagmaskError, match=r"s4://a: Protocol not known: s4; expected s3://, gs://"):
        place_at("s4://a")
    for package, named in {"s3fs": r"pip install 'tagmask\[cloud\]'", "adlfs": "pip install adlfs"}.items():
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(TagmaskError, match=f"{package} is not installed: {named}"):
            place_at({"s3fs": "s3://bucket", "adlfs": "az://box"}[package])


def test_what_stores_tell_of_files():
    time = datetime.datetime(1970, 1, 1, 0, 1, tzinfo=datetime.UTC)
    of_s3 = {"size": 1, "ETag": f'"{EMPTY}"', "LastModified": time}
    of_google = {"size": 1, "md5Hash": base64.b64encode(hashlib.md5(b"").digest()).decode(), "generation": "7"}
    of_azure = {"size": 1, "content_settings": {"content_md5": bytearray.fromhex(EMPTY)}, "etag": "0x8"}
    assert places._entry(of_s3) == Entry(1, 60.0, EMPTY, f'"{EMPTY}"')
    assert places._entry(of_google | {"updated": "1970-01-01T00:01:00Z"}) == Entry(1, 60.0, EMPTY, "7")
    assert places._entry(of_azure) == Entry(1, None, EMPTY, "0x8")


def test_the_etag_of_a_file_put_in_parts_is_no_digest():
    assert places._entry({"size": 1, "ETag": f'"{EMPTY}-2"'}) == Entry(1, None, None, f'"{EMPTY}-2"')
