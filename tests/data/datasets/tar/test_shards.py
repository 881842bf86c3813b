import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import IO

import pytest

from data.datasets.tar_content import pack, picture
from tagmask.data.datasets.tar import shards
from tagmask.data.datasets.tar.shards import Member, as_file, content_of, members_of, stamp_of
from tagmask.errors import TagmaskError


def test_files_are_found_where_their_bytes_are(tmp_path):
    files = [("./a/x.jpg", b"one"), ("a/x.Mask.PNG", b"three"), ("y.v2.json", b"{}")]
    shard = pack(tmp_path / "s.tar", files)
    found = list(members_of(shard))
    assert [(member.key, member.ending) for member in found] == [("a/x", "jpg"), ("a/x", "mask.png"), ("y", "v2.json")]
    assert [content_of(shard, member) for member in found] == [content for _, content in files]
    assert [member.size for member in found] == [3, 5, 2]


def test_hidden_files_and_those_without_ending_are_passed_over(tmp_path):
    shard = pack(tmp_path / "s.tar", [("README", b"x"), (".x/a.jpg", b"x"), ("a/._b.jpg", b"x"), ("b.jpg", b"x")])
    assert [member.key for member in members_of(shard)] == ["b"]


def test_folders_are_passed_over_and_links_cannot_be_read(tmp_path):
    shard = tmp_path / "s.tar"
    with tarfile.open(shard, "w") as file:
        for name, kind in (("a.jpg", tarfile.SYMTYPE), ("b.jpg", tarfile.LNKTYPE), ("c.jpg", tarfile.DIRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            file.addfile(entry)
    found = list(members_of(shard))
    assert [member.name for member in found] == ["a.jpg", "b.jpg"]
    for member in found:
        with pytest.raises(TagmaskError, match=r"cannot read .*s\.tar/[ab]\.jpg: it is a link; write .* --dereference"):
            content_of(shard, member)


def test_sparse_files_cannot_be_read(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w") as file:
        entry = tarfile.TarInfo("a.jpg")
        entry.type = tarfile.GNUTYPE_SPARSE
        file.addfile(entry)
    (member,) = members_of(tmp_path / "s.tar")
    assert "--sparse" in member.flaw


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "a/../../b.jpg", "a\\b.jpg"])
def test_paths_out_of_the_tar_file_are_refused(tmp_path, name):
    shard = pack(tmp_path / "s.tar", [(name, b"x")])
    with pytest.raises(TagmaskError, match=r"s\.tar holds .*; expected paths below the tar file"):
        list(members_of(shard))


def test_a_compressed_tar_file_is_refused_with_a_remedy(tmp_path):
    shard = pack(tmp_path / "s.tar", [("a.jpg", b"x")])
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.raises(TagmaskError, match=r"cannot read .*s\.tar: .*not compressed: .*gunzip"):
        list(members_of(shard))


@pytest.mark.parametrize("left", [0, 100, 600, 1024, 2560, 2600])
def test_a_tar_file_that_is_cut_off_is_refused(tmp_path, left):
    shard = pack(tmp_path / "s.tar", [("a.jpg", b"x" * 2000)])
    shard.write_bytes(shard.read_bytes()[:left])
    with pytest.raises(TagmaskError, match=r"s\.tar"):
        list(members_of(shard))


def test_a_damaged_head_is_no_end(tmp_path):
    shard = pack(tmp_path / "s.tar", [("a.jpg", b"x"), ("b.jpg", b"x"), ("c.jpg", b"x")])
    content = bytearray(shard.read_bytes())
    content[1024:1030] = b"ZZZZZZ"
    shard.write_bytes(content)
    with pytest.raises(TagmaskError, match=r"s\.tar is damaged at byte 1024; expected a whole tar file"):
        list(members_of(shard))


def test_two_tar_files_in_one_are_refused(tmp_path):
    shard = pack(tmp_path / "s.tar", [("a.jpg", b"x")])
    shard.write_bytes(shard.read_bytes() + pack(tmp_path / "t.tar", [("b.jpg", b"x")]).read_bytes())
    with pytest.raises(TagmaskError, match=r"s\.tar goes on after its end at byte 1024, .* tar --concatenate"):
        list(members_of(shard))


def test_a_size_below_zero_is_refused(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.PAX_FORMAT) as file:
        entry = tarfile.TarInfo("a.jpg")
        entry.pax_headers = {"size": "-512"}
        file.addfile(entry)
    with pytest.raises(TagmaskError, match=r"s\.tar is damaged at a\.jpg, which has -512 bytes"):
        list(members_of(tmp_path / "s.tar"))


def test_what_is_no_file_is_told(tmp_path):
    with pytest.raises(TagmaskError, match="cannot read"):
        list(members_of(tmp_path / "missing.tar"))
    with pytest.raises(TagmaskError, match="cannot read"):
        content_of(tmp_path / "missing.tar", Member("a", "jpg", 0, 1))


def test_a_tar_file_that_has_become_shorter_is_told(tmp_path):
    shard = pack(tmp_path / "s.tar", [("a.jpg", b"x" * 2000)])
    (member,) = members_of(shard)
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(TagmaskError, match=r"cut off within a\.jpg"):
        content_of(shard, member)


def test_a_tar_file_that_has_been_replaced_is_told(tmp_path):
    shard = pack(tmp_path / "s.tar", [("a.jpg", b"one")])
    (member,), stamp = members_of(shard), stamp_of(shard)
    assert content_of(shard, member, stamp=stamp) == b"one"
    pack(shard, [("b.jpg", b"two")])
    os.utime(shard, ns=(0, stamp[1] + 1))
    with pytest.raises(TagmaskError, match=r"s\.tar has changed since .*: start the command again"):
        content_of(shard, member, stamp=stamp)
    with pytest.raises(TagmaskError, match=r"cannot read .*x\.tar"):
        stamp_of(tmp_path / "x.tar")


@pytest.mark.parametrize("failing", ["mkstemp", "write"])
def test_no_room_for_temporary_files_is_told(tmp_path, monkeypatch, failing):
    shard = pack(tmp_path / "s.tar", [("a.jpg", b"one")])
    (member,) = members_of(shard)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    if failing == "write":
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(shards, "os", _Full())
    with (
        pytest.raises(TagmaskError, match=r"cannot write a temporary file of 3 bytes.*: .*TMPDIR"),
        as_file(shard, member),
    ):
        pass
    assert not list(tmp_path.glob("temporary/*"))


class _Full:
    """A disk without room."""

    def fdopen(self, descriptor: int, _mode: str) -> IO[bytes]:
        os.close(descriptor)
        return Path("/dev/full").open("wb", buffering=0)


def test_a_member_is_a_file_for_a_while(tmp_path):
    shard = pack(tmp_path / "s.tar", [("a/b.png", picture(1))])
    (member,) = members_of(shard)
    with as_file(shard, member) as path:
        assert path.read_bytes() == picture(1)
        assert path.suffix == ".png"
    assert not path.exists()
    with pytest.raises(TagmaskError, match=r"s\.tar/a/b\.png is odd"), as_file(shard, member) as path:
        raise TagmaskError(f"{path} is odd")
    assert not path.exists()


def test_headers_of_all_kinds_are_read(tmp_path):
    long = "folder/" * 30 + "a.jpg"
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(tmp_path / "s.tar", "w", format=kind) as file:
            entry = tarfile.TarInfo(long)
            entry.size = 1
            file.addfile(entry, io.BytesIO(b"x"))
        assert [member.name for member in members_of(tmp_path / "s.tar")] == [long]
