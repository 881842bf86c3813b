import pytest

from tagmask.errors import TagmaskError
from tagmask.export.folder import refuse_foreign
from tagmask.system.whole_folders import writing_folder


def test_a_folder_appears_with_all_that_is_in_it(tmp_path):
    with writing_folder(tmp_path / "deep" / "out", refuse_foreign) as folder:
        (folder / "a").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert (tmp_path / "deep" / "out" / "a").read_text() == "a"


def stopped(out, error):
    """Write half of a folder, then stop."""
    with writing_folder(out, refuse_foreign) as folder:
        (folder / "a").write_text("a")
        raise error


def test_after_an_error_nothing_is_left(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        stopped(tmp_path / "out", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    with writing_folder(tmp_path / "out", refuse_foreign) as folder:
        (folder / "a").write_text("a")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]


def test_folders_and_files_of_others_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "settings.json").write_text('{"mine": 1}')
    for place in ("file", "folder"):
        with pytest.raises(TagmaskError, match="no export of tagmask; choose another --out"):
            refuse_foreign(tmp_path / place)


def test_an_earlier_export_is_replaced_only_when_the_new_one_is_whole(exported, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for path in exported("bundle").iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    (out / "old").write_text("old")
    with pytest.raises(ValueError, match="no"):
        stopped(out, ValueError("no"))
    assert (out / "old").exists()
    with writing_folder(out, refuse_foreign) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(TagmaskError, match=r"cannot write .*out"),
        writing_folder(tmp_path / "file" / "out", refuse_foreign),
    ):
        pass
