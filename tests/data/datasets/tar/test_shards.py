import gzip
import io
import tarfile

import pytest

from data.datasets.tar_content import pack, picture
from tagmask.data.datasets.tar.shards import Member, as_file, content_of, members_of
from tagmask.errors import TagmaskError


def test_files_are_found_where_their_bytes_are(tmp_path):
    files = [("./a/x.jpg", b"one"), ("a/x.Mask.PNG", b"three"), ("y.v2.json", b"{}")]
    shard = pack(tmp_path / "s.tar", files)
    found = list(members_of(shard))
    assert [(member.key, member.ending) for member in found] == [("a/x", "jpg"), ("a/x", "mask.png"), ("y", "v2.json")]
    assert [content_of(shard, member) for member in found] == [content for _, content in files]
    assert [member.size for member in found] == [3, 5, 2]


def test_hidden_files_and_those_without_ending_are_passed_over(tmp_path):
    shard = pack(tmp_path / "s.tar", [("README", b"x"), (".DS_Store", b"x"), ("a/._b.jpg", b"x"), ("b.jpg", b"x")])
    assert [member.key for member in members_of(shard)] == ["b"]


def test_links_and_folders_are_passed_over(tmp_path):
    shard = tmp_path / "s.tar"
    with tarfile.open(shard, "w") as file:
        for name, kind in (("a.jpg", tarfile.SYMTYPE), ("b.jpg", tarfile.LNKTYPE), ("c.jpg", tarfile.DIRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            file.addfile(entry)
    assert list(members_of(shard)) == []


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


@pytest.mark.parametrize("left", [0, 100, 600, 1024])
def test_a_tar_file_that_is_cut_off_is_refused(tmp_path, left):
    shard = pack(tmp_path / "s.tar", [("a.jpg", b"x" * 2000)])
    shard.write_bytes(shard.read_bytes()[:left])
    with pytest.raises(TagmaskError, match=r"s\.tar"):
        list(members_of(shard))


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
