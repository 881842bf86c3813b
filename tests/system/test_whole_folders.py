import errno

import pytest

from tagmask.errors import TagmaskError
from tagmask.system.whole_folders import fault_of_name, writing_folder


def test_a_folder_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "new" / "out"
    with writing_folder(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["a"]
    assert list(out.parent.iterdir()) == [out]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    with writing_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
    assert (tmp_path / "out" / "a").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_one_that_does_not_become_whole(tmp_path, stop):
    def write():
        with writing_folder(tmp_path / "out") as folder:
            (folder / "a").write_text("1")
            raise stop

    with pytest.raises(stop):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_its_remedy(tmp_path):
    with pytest.raises(TagmaskError, match="free some space"), writing_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path):
    (tmp_path / "a").write_text("1")
    for path in (tmp_path, tmp_path / "a"):
        with pytest.raises(TagmaskError, match="is not empty"), writing_folder(path):
            pass
    assert (tmp_path / "a").read_text() == "1"


def test_names_that_are_places_below_a_folder():
    assert [fault_of_name(name) for name in ("a", "./a/b.jpg", "a..b/c", "é/ü.png")] == [None] * 4
