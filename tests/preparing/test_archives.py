"""Archives made by hand, harmless and not."""

import bz2
import io
import stat
import tarfile
import zipfile

import pytest

from tagmask.errors import TagmaskError
from tagmask.preparing import archives
from tagmask.preparing.archives import Limits, unpack

FILES = {"a/b.txt": b"hello", "a/c/d.bin": b"\0" * 1000}


def tar(path, files=FILES, mode="w", **changes):
    with tarfile.open(path, mode) as content:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            for key, value in changes.items():
                setattr(entry, key, value)
            content.addfile(entry, io.BytesIO(data))
    return path


def zipped(path, files=FILES, mode=0):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as content:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            content.writestr(entry, data)
    return path


def held(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive, words, **how):
    to = archive.parent / "out"
    with pytest.raises(TagmaskError, match=words):
        unpack(archive, to, **how)
    assert not to.exists()
    assert [path for path in archive.parent.iterdir() if path.name.endswith(".tmp")] == []
    assert not (archive.parent.parent / "evil").exists()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tars_are_known_by_their_content(tmp_path, mode):
    unpack(tar(tmp_path / "x.zip", mode=mode), tmp_path / "out")
    assert held(tmp_path / "out") == FILES


def test_zips_are_and_what_macos_adds_is_passed_over(tmp_path):
    unpack(zipped(tmp_path / "x.tar", FILES | {"__MACOSX/a/._b.txt": b"x", "a/._b.txt": b"y"}), tmp_path / "out")
    assert held(tmp_path / "out") == FILES


def test_only_what_is_wanted_is_written(tmp_path):
    unpack(tar(tmp_path / "x.tar"), tmp_path / "out", lambda name: name.suffix == ".txt")
    assert held(tmp_path / "out") == {"a/b.txt": b"hello"}


@pytest.mark.parametrize("make", [tar, zipped])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil", "leads upwards"),
        ("a/../../evil", "leads upwards"),
        ("/evil", "absolute"),
        ("C:/evil", "absolute"),
        ("..\\evil", "leads upwards"),
        ("a\\b", "backslash"),
        ("a\nb", "backslash or a character"),
    ],
)
def test_names_lead_nowhere_else(tmp_path, make, name, words):
    (tmp_path / "in").mkdir()
    refused(make(tmp_path / "in" / "x", {"good": b"1", name: b"2"}), words)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE]
)
def test_links_and_devices_are_refused_in_tars(tmp_path, kind):
    refused(tar(tmp_path / "x", {"a": b""}, type=kind, linkname="/etc/passwd"), "'a' is a link, a device")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused_in_zips(tmp_path, mode):
    refused(zipped(tmp_path / "x", {"a": b"/etc/passwd"}, mode | 0o777), "'a' is a link")


def test_a_file_that_comes_twice_or_is_a_folder_besides_is_refused(tmp_path):
    archive = tmp_path / "twice"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            content.writestr("a", b"2")
    refused(archive, "'a' comes twice")
    refused(tar(tmp_path / "both", {"a": b"1", "a/b": b"2"}), "'a/b' comes twice")


@pytest.mark.parametrize("make", [tar, zipped])
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(members=1), "more than 1 files and folders"),
        (Limits(size=2), "more than 2 MiB"),
    ],
)
def test_limits_are_said(tmp_path, make, limits, words):
    refused(make(tmp_path / "x", {"a": b"\1" * 2_000_000, "b": b"\2" * 2_000_000}), words, limits=limits)


@pytest.mark.parametrize("make", [lambda path, files: tar(path, files, "w:gz"), zipped])
def test_what_swells_too_far_is_refused(tmp_path, monkeypatch, make):
    monkeypatch.setattr(archives, "_SLACK", 1000)
    archive = make(tmp_path / "x", {"a": b"\0" * 1_000_000})  # about a thousand times its packed size
    refused(archive, rf"more than 50 times its own {archive.stat().st_size} bytes")
    unpack(archive, tmp_path / "out", limits=Limits(ratio=2000))
    assert (tmp_path / "out/a").stat().st_size == 1_000_000


def test_a_head_that_swells_is_refused_before_it_fills_the_memory(tmp_path):
    """The extended head of a tar's file is read whole by the standard library, whatever it says of its length."""
    with (
        bz2.open(tmp_path / "x", "wb") as file,
        tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as out,
    ):
        entry = tarfile.TarInfo("a")
        entry.pax_headers = {"comment": "x" * 9_000_000}
        out.addfile(entry)
    refused(tmp_path / "x", "more than 4 MiB stand between two files")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kept", [0, 100, 600])
def test_archives_that_are_cut_off_are_refused(tmp_path, mode, kept):
    random = bytes(range(256)) * 20
    whole = tar(tmp_path / "whole", {"a": random, "b": random[::-1]}, mode).read_bytes()
    (tmp_path / "x").write_bytes(whole[:kept] if mode == "w" else whole[: len(whole) * kept // 700])
    refused(tmp_path / "x", "cannot unpack|cut off")


@pytest.mark.parametrize("change", [lambda d: d[:-30], lambda d: d.replace(b"hello", b"hallo")])
def test_damaged_zips_are_refused(tmp_path, change):
    archive = tmp_path / "x"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("a", b"hello")
    archive.write_bytes(change(archive.read_bytes()))
    refused(archive, "cannot unpack")


def test_what_is_no_archive_or_not_there(tmp_path):
    (tmp_path / "x").write_text("<html>moved</html>" * 100)
    refused(tmp_path / "x", "expected a whole tar or zip archive")
    refused(tmp_path / "none", "there is no file")


def test_a_filled_folder_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("x")
    with pytest.raises(TagmaskError, match="not empty"):
        unpack(tar(tmp_path / "x"), tmp_path / "out")
    assert held(tmp_path / "out") == {"mine": b"x"}
