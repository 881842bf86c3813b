import shutil

import pytest

from tagmask.errors import TagmaskError
from tagmask.viewing.opening import found_run, opened


def test_what_is_no_run_is_refused_with_what_is_there(run_copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TagmaskError, match=r"no folder 'copi' in .*; runs there: 'copy'"):
        found_run(run_copy.folder.path.relative_to(tmp_path).with_name("copi"))
    with pytest.raises(TagmaskError, match="there is no 'runs' there either"):
        found_run(tmp_path.joinpath("runs", "x").relative_to(tmp_path))
    with pytest.raises(TagmaskError, match=r"holds no run .*runs there: '.*copy'"):
        found_run(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "settings.json").write_text("{}")
    with pytest.raises(TagmaskError, match=r"an export, not a run; tagmask\.load"):
        found_run(tmp_path / "empty")


def test_without_a_run_nearby_it_says_how_one_is_made(tmp_path):
    with pytest.raises(TagmaskError, match="give one that `tagmask run` wrote"):
        found_run(tmp_path / "nothing")


def test_data_that_are_gone_or_changed_are_refused(photo_run):
    data = photo_run.data
    assert opened(photo_run.folder, photo_run.recipe, data).given_records == photo_run.given_records
    moved = shutil.move(data, data.with_name("elsewhere"))
    with pytest.raises(TagmaskError, match=r"photographs of .* lay in .*data=FOLDER\) says where they are"):
        opened(photo_run.folder, photo_run.recipe, data)
    assert opened(photo_run.folder, photo_run.recipe, moved).dataset.classes == ("big dog", "cat")
    table = moved / "tags.csv"
    table.write_text(table.read_text().replace("cat;big dog", "big dog", 1))
    with pytest.raises(TagmaskError, match=r"1 image\(s\) have other tags"):
        opened(photo_run.folder, photo_run.recipe, moved)
