import os

import pytest

from tagmask.errors import TagmaskError
from tagmask.preparing.tree import (
    Faults,
    check_count,
    counted,
    is_prepared,
    named_as,
    note_sources,
    opened,
    put,
    refuse_within,
    sources_of,
    sweep,
)
from tagmask.system.storage import HOST


def test_faults_are_told_together_with_their_numbers_and_first_names():
    faults = Faults()
    faults.raise_any("nothing")
    for number in range(12):
        faults.add("odd things", f"n{number}")
    check_count(3, 3, "apples", faults)
    check_count(2, 3, "pears", faults)
    with pytest.raises(TagmaskError) as raised:
        faults.raise_any("the basket")
    first, odd, counts = str(raised.value).splitlines()
    assert first == "the basket is not as it was published:"
    assert odd == "  odd things (12): n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, ..."
    assert "2 pears, published 3" in counts
    assert "apples" not in counts


def test_a_folder_knows_what_it_was_made_from(tmp_path):
    sources = sources_of(voc=tmp_path / "a.tar", sbd=None, year=2014)
    assert sources == {"voc": str(tmp_path / "a.tar"), "year": "2014"}
    assert not is_prepared(tmp_path / "out", sources)
    (tmp_path / "out").mkdir()
    assert not is_prepared(tmp_path / "out", sources)
    note_sources(tmp_path / "out", sources)
    assert is_prepared(tmp_path / "out", sources)
    with pytest.raises(TagmaskError, match=r"prepared from something else \(voc=.*a\.tar, year=2014\)"):
        is_prepared(tmp_path / "out", sources | {"year": "2017"})
    (tmp_path / "out/prepared.json").write_text("[]")
    with pytest.raises(TagmaskError, match="prepare it again"):
        is_prepared(tmp_path / "out", sources)


def test_originals_are_no_place_for_results(tmp_path):
    (tmp_path / "voc").mkdir()
    with pytest.raises(TagmaskError, match="which is left as it is"):
        refuse_within(tmp_path / "voc" / "out", [tmp_path / "none", tmp_path / "voc"])
    refuse_within(tmp_path / "out", [tmp_path / "voc"])


def test_a_source_is_a_folder_or_an_archive(tmp_path):
    assert opened(tmp_path, tmp_path / "x") == tmp_path
    with pytest.raises(TagmaskError, match="neither a folder nor an archive"):
        opened(tmp_path / "none", tmp_path / "x")


@pytest.mark.parametrize("knows_links", [True, False])
def test_folders_of_others_are_linked_or_copied_and_own_ones_moved(tmp_path, monkeypatch, knows_links):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c.txt").write_text("x")
    (tmp_path / "a/._c.txt").write_text("junk")
    (tmp_path / "a").chmod(0o555)
    if not knows_links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    put(tmp_path / "a", tmp_path / "new/a", is_ours=False)
    assert [path.name for path in (tmp_path / "new").rglob("*.txt")] == ["c.txt"]
    assert (tmp_path / "new/a/b/c.txt").samefile(tmp_path / "a/b/c.txt") == knows_links
    (tmp_path / "new/a/more").mkdir()  # whatever the rights of the original
    (tmp_path / "a").chmod(0o755)
    put(tmp_path / "a", tmp_path / "moved/a", is_ours=True)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "moved/a/b/c.txt").read_text() == "x"


def test_what_a_killed_call_left_beside_the_folder_is_swept_away(tmp_path):
    gone, alive, deep = (
        tmp_path / f".{HOST}-999999999-a.tmp",
        tmp_path / f".{HOST}-{os.getpid()}-a.tmp",
        tmp_path / "other" / f".{HOST}-999999999-a.tmp",
    )
    for folder in (gone, alive, deep):
        folder.mkdir(parents=True)
    sweep(tmp_path / "out")
    sweep(tmp_path / "not/there")
    assert [folder.exists() for folder in (gone, alive, deep)] == [False, True, True]


def test_words(tmp_path):
    assert counted({"train": 3, "val": 2}) == ("3 train", "2 val")
    error = named_as(tmp_path / "tmp", tmp_path / "out", TagmaskError(f"{tmp_path / 'tmp'}/x is bad"))
    assert str(error) == f"{tmp_path / 'out'}/x is bad"
