import os
import subprocess
import sys

import pytest

from tagmask.errors import TagmaskError
from tagmask.system.cloud import sync as syncing
from tagmask.system.cloud.places import Entry, LocalFolder, place_at
from tagmask.system.cloud.sync import same_content, sync
from tagmask.system.lock import InUseError

URL = "memory://bucket/photos"
FILES = {"a.jpg": b"one", "deep/er/b.jpg": b"three", "empty": b""}


def filled(folder, files=FILES):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return LocalFolder(folder)


def held(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(bucket) -> dict[str, bytes]:
    return {name.removeprefix("/bucket/photos/"): bucket.cat_file(name) for name in bucket.find("/bucket/photos")}


def test_there_and_back(bucket, tmp_path):
    up = sync(filled(tmp_path / "a"), place_at(URL))
    assert (up.copied, up.size, up.same, up.removed) == (3, 8, 0, 0)
    assert stored(bucket) == FILES
    down = sync(place_at(URL), LocalFolder(tmp_path / "b"))
    assert down.copied == 3
    assert held(tmp_path / "b") == FILES
    assert str(down) == "3 files (0.0 MiB) copied, 0 were there"


def test_between_two_folders_of_this_machine(tmp_path):
    sync(filled(tmp_path / "a"), LocalFolder(tmp_path / "b"))
    assert held(tmp_path / "b") == FILES


def test_only_what_differs_is_copied(bucket, tmp_path):
    here = filled(tmp_path / "a")
    sync(here, place_at(URL))
    (tmp_path / "a/a.jpg").write_bytes(b"longer")
    (tmp_path / "a/new").write_bytes(b"x")
    again = sync(here, place_at(URL))
    assert (again.copied, again.size, again.same) == (2, 7, 2)
    assert stored(bucket) == FILES | {"a.jpg": b"longer", "new": b"x"}


def test_what_is_newer_at_the_source_is_copied_where_no_digest_is_told(tmp_path):
    here, there = filled(tmp_path / "a"), LocalFolder(tmp_path / "b")
    sync(here, there)
    (tmp_path / "a/a.jpg").write_bytes(b"two")
    os.utime(tmp_path / "a/a.jpg", (2e9, 2e9))
    assert sync(here, there).copied == 1
    assert held(there.path)["a.jpg"] == b"two"


@pytest.mark.parametrize(("content", "by_time", "same"), [(b"", False, True), (b"", True, False), (b"x", False, False)])
def test_digests_go_before_times(bucket, tmp_path, content, by_time, same):
    (tmp_path / "a").write_bytes(content)
    of_nothing = Entry(0, modified=2.0, md5="d41d8cd98f00b204e9800998ecf8427e")
    rule = same_content(place_at(URL), LocalFolder(tmp_path), by_time)
    assert rule("a", of_nothing, Entry(0, modified=1.0)) == same


def test_nothing_is_removed_unless_asked_for(bucket, tmp_path):
    sync(filled(tmp_path / "a"), place_at(URL))
    (tmp_path / "a/a.jpg").unlink()
    assert sync(LocalFolder(tmp_path / "a"), place_at(URL)).removed == 0
    assert stored(bucket) == FILES
    done = sync(LocalFolder(tmp_path / "a"), place_at(URL), delete=True)
    assert str(done) == "0 files (0.0 MiB) copied, 2 were there, 1 removed"
    assert "a.jpg" not in stored(bucket)


def test_an_empty_source_removes_nothing(bucket, tmp_path):
    filled(tmp_path / "a")
    with pytest.raises(TagmaskError, match="no files below memory://bucket/photos"):
        sync(place_at(URL), LocalFolder(tmp_path / "a"), delete=True)
    assert held(tmp_path / "a") == FILES


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "a\\..\\evil", "a//evil", "./evil", "a\nb"]
)
def test_names_that_lead_elsewhere_are_refused_before_anything_is_copied(bucket, tmp_path, name):
    bucket.pipe_file("/bucket/photos/good", b"x")
    bucket.store[f"/bucket/photos/{name}"] = bucket.store["/bucket/photos/good"]
    with pytest.raises(TagmaskError, match=r"is not copied: .*evil|is not copied: 'a\\nb'"):
        sync(place_at(URL), LocalFolder(tmp_path / "out/folder"))
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_file_and_folder_is_refused(bucket, tmp_path):
    bucket.store["/bucket/photos/a"] = bucket.store["/bucket/photos/a/b"] = None
    bucket.pipe_file("/bucket/photos/good", b"x")
    bucket.store["/bucket/photos/a"] = bucket.store["/bucket/photos/a/b"] = bucket.store["/bucket/photos/good"]
    with pytest.raises(TagmaskError, match="'a/b' lies below a name that is a file as well"):
        sync(place_at(URL), LocalFolder(tmp_path / "out"))


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_folders_in_each_other_are_refused(tmp_path, one, other):
    filled(tmp_path / "a/b")
    with pytest.raises(TagmaskError, match="lie in each other"):
        sync(LocalFolder(tmp_path / one), LocalFolder(tmp_path / other), delete=True)


def test_two_places_in_storage_are_refused(bucket):
    with pytest.raises(TagmaskError, match="are both in storage"):
        sync(place_at(URL), place_at("memory://other"))


def test_a_file_that_changes_while_it_is_fetched_does_not_arrive(bucket, tmp_path, monkeypatch):
    bucket.pipe_file("/bucket/photos/a", b"four")
    monkeypatch.setattr(type(bucket), "get_file", lambda self, name, to: open(to, "wb").close())  # noqa: PTH123
    with pytest.raises(TagmaskError, match="changed while it was read"):
        sync(place_at(URL), LocalFolder(tmp_path / "out"))
    assert held(tmp_path / "out") == {}


def test_stopped_it_goes_on(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(syncing, "AT_ONCE", 1)
    put = type(bucket).put_file

    def fail_at_third(self, path, name, **options):
        if len(self.find("/bucket")) == 2:
            raise OSError("the line is down")
        put(self, path, name, **options)

    monkeypatch.setattr(type(bucket), "put_file", fail_at_third)
    with pytest.raises(TagmaskError, match=r"the line is down.*what has been copied stays"):
        sync(filled(tmp_path / "a"), place_at(URL))
    monkeypatch.setattr(type(bucket), "put_file", put)
    assert sync(LocalFolder(tmp_path / "a"), place_at(URL)).copied == 1
    assert stored(bucket) == FILES


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

RUN = {"x/recipe.json": b"{}", "x/manifest.json": b"{}", "x/maps/a.npz": b"1", "x/lock": b"", "x/lock.json": b"{}"}


def test_what_tells_of_work_stays(bucket, tmp_path):
    masks = {"y/classes.json": b"[]", "y/lock": b"", "y/claims/1.json": b"{}"}
    others = {"z/lock": b"mine", "z/claims/b.json": b"mine"}  # beside no recipe
    (tmp_path / "a").mkdir()
    here = filled(tmp_path / "a", RUN | masks | others)
    os.utime(tmp_path / "a/y/claims/1.json", (1, 1))
    sync(here, place_at(URL))
    kept = ["x/manifest.json", "x/maps/a.npz", "x/recipe.json", "y/classes.json", "z/claims/b.json", "z/lock"]
    assert sorted(stored(bucket)) == kept


def test_the_recipe_of_a_run_comes_last(tmp_path):
    order = [name for part in syncing._in_order(RUN) for name in part]
    assert order == ["x/lock", "x/lock.json", "x/maps/a.npz", "x/manifest.json", "x/recipe.json"]


HOLD = "import sys, pathlib; from tagmask.system.lock import lock_for; lock_for(sys, pathlib.Path(sys.argv[1]))"


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_run_at_work_is_refused_on_both_sides(bucket, tmp_path, side):
    here = filled(tmp_path / "a", RUN)
    sync(here, place_at(URL))
    command = [sys.executable, "-c", f"{HOLD}; print('held', flush=True); sys.stdin.read()", str(tmp_path / "a/x")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        places = (here, place_at(URL)) if side == "source" else (place_at(URL), here)
        with pytest.raises(InUseError, match=f"is in use by process {process.pid}"):
            sync(*places)
        process.kill()
    sync(here, place_at(URL))
