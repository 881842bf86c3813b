import pytest

from tagmask.errors import TagmaskError
from tagmask.system.cloud import mirror
from tagmask.system.cloud.mirror import cache_folder, mirrored, written_to


def test_the_cache_lies_where_it_is_told(tmp_path, monkeypatch):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("TAGMASK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert str(cache_folder()) == "/caches/tagmask"


def test_a_folder_is_copied_once_and_told_in_one_line(bucket, cache):
    bucket.pipe({"/bucket/photos/a.jpg": b"one", "/bucket/photos/deep/b.jpg": b"two"})
    told = []
    folder = mirrored("memory://bucket/photos", told.append)
    assert (folder.name, (folder / "deep/b.jpg").read_bytes()) == ("photos", b"two")
    assert told == [f"memory://bucket/photos: 2 files (0.0 MiB) copied, 0 were there; copy in {folder}"]
    assert folder.is_relative_to(cache)
    mirrored("memory://bucket/photos", told.append)
    assert ": 0 files (0.0 MiB) copied, 2 were there;" in told[1]


def test_a_copy_follows_what_changes_without_being_read(bucket, monkeypatch):
    bucket.pipe({"/bucket/photos/a.jpg": b"one", "/bucket/photos/b.jpg": b"two"})
    folder = mirrored("memory://bucket/photos")
    bucket.pipe_file("/bucket/photos/a.jpg", b"ONE")  # as long as before
    bucket.rm_file("/bucket/photos/b.jpg")
    monkeypatch.setattr(mirror, "same_content", lambda *_: lambda *_: pytest.fail("it was read"))
    assert mirrored("memory://bucket/photos") == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.jpg": b"ONE"}


def test_a_damaged_copy_is_fetched_again(bucket):
    bucket.pipe_file("/bucket/photos/a.jpg", b"one")
    folder = mirrored("memory://bucket/photos")
    (folder / "a.jpg").write_bytes(b"")
    assert (mirrored("memory://bucket/photos") / "a.jpg").read_bytes() == b"one"


def test_one_file_and_those_beside_it(bucket):
    bucket.pipe({"/bucket/run/a.bin": b"1", "/bucket/run/a.xml": b"2", "/bucket/run/maps/a.npz": b"3"})
    alone = mirrored("memory://bucket/run/a.xml")
    assert [path.name for path in alone.parent.iterdir()] == ["a.xml"]
    beside = mirrored("memory://bucket/run/a.xml", shallow=True)
    assert sorted(path.name for path in beside.parent.iterdir()) == ["a.bin", "a.xml"]
    assert sorted(path.name for path in mirrored("memory://bucket/run", shallow=True).iterdir()) == ["a.bin", "a.xml"]


def test_nothing_there_and_no_room(bucket, tmp_path, monkeypatch):
    with pytest.raises(TagmaskError, match="no files below memory://bucket/photos"):
        mirrored("memory://bucket/photos")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TAGMASK_CACHE", str(tmp_path / "file"))
    with pytest.raises(TagmaskError, match=r"cannot be kept in .*set TAGMASK_CACHE"):
        mirrored("memory://bucket/photos")


def test_a_folder_of_this_machine_is_written_to_as_it_is(tmp_path):
    with written_to(tmp_path / "out") as folder:
        assert folder == tmp_path / "out"
    assert mirrored(f"file://{tmp_path}") == tmp_path


def test_what_is_written_goes_to_its_url_together_with_what_is_there(bucket):
    bucket.pipe_file("/bucket/out/classes.csv", b"earlier")
    with written_to("memory://bucket/out") as folder:
        assert (folder / "classes.csv").read_bytes() == b"earlier"
        (folder / "classes.csv").write_bytes(b"both of them")
        (folder / "new").write_bytes(b"x")
    assert bucket.cat_file("/bucket/out/classes.csv") == b"both of them"
    assert bucket.cat_file("/bucket/out/new") == b"x"
    assert not folder.exists()


def test_what_a_stopped_call_has_written_waits_for_the_next(bucket):
    def stopped():
        with written_to("memory://bucket/out") as folder:
            (folder / "first").write_bytes(b"1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with pytest.raises(FileNotFoundError):
        bucket.cat_file("/bucket/out/first")
    told = []
    with written_to("memory://bucket/out", told.append) as folder:
        (folder / "second").write_bytes(b"2")
    assert bucket.cat_file("/bucket/out/first") == b"1"
    assert told == ["memory://bucket/out: 2 files (0.0 MiB) copied, 0 were there"]
