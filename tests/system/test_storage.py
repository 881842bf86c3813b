import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pydantic import TypeAdapter
from safetensors.numpy import save_file

from tagmask.errors import TagmaskError
from tagmask.system.storage import (
    HOST,
    MapArchive,
    append_line,
    is_whole,
    read_json,
    read_json_as,
    read_maps,
    read_posteriors,
    remove_abandoned,
    write_bytes,
    write_json,
    write_maps,
    write_posteriors,
    writing,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill_and_fail(path: Path):
    with writing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def archive(maps: np.ndarray) -> MapArchive:
    return MapArchive(np.arange(1, len(maps) + 1, dtype=np.int16), maps.astype(np.float32), (30, 40))


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path: Path):
    path = tmp_path / "deep" / "er" / "file.txt"
    with writing(path) as temporary:
        temporary.write_text("new")
        assert not is_whole(path)
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert is_whole(path)
    assert names(path.parent) == ["file.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        fill_and_fail(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "free some space"), (errno.EACCES, "choose another output")],
)
def test_a_full_disk_is_named_with_its_remedy(tmp_path: Path, number: int, remedy: str):
    with pytest.raises(TagmaskError, match=remedy) as raised, writing(tmp_path / "x.npz"):
        raise OSError(number, os.strerror(number))
    assert "x.npz" in str(raised.value)
    assert names(tmp_path) == []


def test_other_errors_pass_through(tmp_path: Path):
    with pytest.raises(FileNotFoundError), writing(tmp_path / "x"):
        (tmp_path / "missing").read_text()


def test_a_file_in_place_of_a_folder_is_explained(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(TagmaskError, match="choose another output folder"):
        write_bytes(tmp_path / "file" / "below", b"")


def test_json_returns_as_it_was(tmp_path: Path):
    value = {"naïve": [1, 2.5, None, True], "deep": {"a": "b"}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "naïve" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [{"a": -float("inf")}]])
def test_json_refuses_what_it_cannot_hold(tmp_path: Path, value: object):
    with pytest.raises(ValueError, match="finite"):
        write_json(tmp_path / "a.json", value)
    assert not is_whole(tmp_path / "a.json")


# ── files that were damaged later ────────────────────────────────────────────────────────────────────────────────────


def whole_files(folder: Path) -> list[Path]:
    """A file of each kind that a run writes."""
    write_json(folder / "a.json", {"a": [1, 2]})
    write_maps(folder / "a.npz", MapArchive(np.array([1], np.int16), np.ones((1, 2, 2), np.float32), (2, 2)))
    Image.new("P", (4, 4)).save(folder / "a.png")
    save_file({"w": np.arange(6.0)}, folder / "a.safetensors")
    write_bytes(folder / "a.csv", b"image,quality\n")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("place", range(5))
def test_a_file_that_lost_its_end_is_not_whole(tmp_path: Path, place: int):
    path = whole_files(tmp_path)[place]
    assert is_whole(path)
    content = path.read_bytes()
    for missing in (2, 8, len(content) // 2, len(content) - 1) if path.suffix != ".csv" else ():  # which has no end
        path.write_bytes(content[:-missing])
        assert not is_whole(path), f"{missing} bytes less"
    path.write_bytes(b"")
    assert not is_whole(path)


def test_what_is_no_file_is_not_whole(tmp_path: Path):
    (tmp_path / "folder.png").mkdir()
    assert not is_whole(tmp_path / "folder.png")
    assert not is_whole(tmp_path / "nowhere.png")


def test_weights_with_more_than_their_header_says_are_not_whole(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    save_file({"w": np.arange(6.0)}, path)
    path.write_bytes(path.read_bytes() + b"12345678")
    assert not is_whole(path)
    path.write_bytes(b"\xff" * 64)
    assert not is_whole(path)


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe"])
def test_damaged_json_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(TagmaskError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_missing_json_is_named(tmp_path: Path):
    with pytest.raises(TagmaskError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_lines_are_appended_whole_even_after_a_torn_one(tmp_path: Path):
    path = tmp_path / "logs" / "log.jsonl"
    append_line(path, '{"step": 1}')
    append_line(path, '{"step": 2}')
    with path.open("a") as file:
        file.write('{"ste')
    append_line(path, '{"step": 3}')
    assert path.read_text().splitlines() == ['{"step": 1}', '{"step": 2}', '{"ste', '{"step": 3}']


def test_a_line_is_one_line(tmp_path: Path):
    with pytest.raises(ValueError, match="one line"):
        append_line(tmp_path / "log", "a\nb")


@given(arrays.arrays(np.float32, (2, 3, 4), elements=st.floats(-60000, 60000, width=32)))
def test_maps_return_in_half_precision(tmp_path_factory: pytest.TempPathFactory, maps: np.ndarray):
    path = tmp_path_factory.mktemp("maps") / "a" / "image.npz"
    write_maps(path, archive(maps))
    read = read_maps(path)
    np.testing.assert_array_equal(read.maps, maps.astype(np.float16).astype(np.float32))
    assert read.classes.tolist() == [1, 2]
    assert read.size == (30, 40)


def test_maps_of_an_image_without_classes(tmp_path: Path):
    write_maps(tmp_path / "a.npz", archive(np.zeros((0, 3, 4))))
    assert read_maps(tmp_path / "a.npz").maps.shape == (0, 3, 4)


def test_large_values_are_clipped_and_none_becomes_infinite(tmp_path: Path):
    write_maps(tmp_path / "a.npz", archive(np.full((1, 2, 2), 1e30)))
    assert (read_maps(tmp_path / "a.npz").maps == 65504).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float):
    with pytest.raises(TagmaskError, match="diverged"):
        write_maps(tmp_path / "a.npz", archive(np.full((1, 2, 2), value)))
    assert names(tmp_path) == []


def test_equal_maps_are_equal_files_without_pickle(tmp_path: Path):
    maps = np.random.default_rng(0).random((2, 5, 6))
    for name in "ab":
        write_maps(tmp_path / f"{name}.npz", archive(maps))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as content:
        assert content["maps"].dtype == np.float16
        assert content["classes"].dtype == np.int16


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_truncated_maps_are_named(tmp_path: Path, share: float):
    path = tmp_path / "image.npz"
    write_maps(path, archive(np.random.default_rng(0).random((2, 30, 30))))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TagmaskError, match=r"image\.npz.*delete it, and `tagmask resume`"):
        read_maps(path)


def test_maps_that_are_not_there_are_not_to_be_deleted(tmp_path: Path):
    with pytest.raises(TagmaskError, match=r"image\.npz is missing; `tagmask resume` on its run makes it anew"):
        read_maps(tmp_path / "image.npz")


def test_foreign_and_pickled_archives_are_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", maps=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", maps=np.array([{}], dtype=object), classes=np.zeros(1), size=np.zeros(2))
    np.save(tmp_path / "single.npy", np.zeros(3))
    for name in ("other.npz", "pickle.npz", "single.npy", "missing.npz"):
        with pytest.raises(TagmaskError, match=name):
            read_maps(tmp_path / name)


def test_posteriors_return_with_their_names(tmp_path: Path):
    random = np.random.default_rng(0)
    posteriors = {name: random.dirichlet([1, 1, 1], (20, 30)).transpose(2, 0, 1) for name in ("low", "high")}
    write_posteriors(tmp_path / "a.npz", posteriors, np.array([2, 5], np.int16))
    read, classes = read_posteriors(tmp_path / "a.npz")
    assert classes.tolist() == [2, 5]
    assert list(read) == ["low", "high"]
    for name, values in posteriors.items():
        assert read[name].dtype == np.float32
        np.testing.assert_allclose(read[name], values, atol=5e-4)


def test_posteriors_that_are_not_finite_are_refused(tmp_path: Path):
    with pytest.raises(TagmaskError, match="NaN"):
        write_posteriors(tmp_path / "a.npz", {"low": np.full((2, 3, 3), np.nan)}, np.array([1], np.int16))


def test_json_ends_with_a_line_break(tmp_path: Path):
    write_json(tmp_path / "a.json", {"a": 1})
    text = (tmp_path / "a.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == {"a": 1}


def test_only_what_dead_processes_were_writing_is_removed(tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "deep").mkdir()
    theirs = tmp_path / "deep" / f".{HOST}-{dead.pid}-a1b2.tmp.npz"
    kept = {
        f".{HOST}-{os.getpid()}-a1b2.tmp.npz",
        f"{dead.pid}-a1b2.tmp.npz",
        ".x-a1b2.tmp.npz",
        f".0a1b2c3d-{dead.pid}-a1b2.tmp.npz",
        f".{HOST}-{10**30}-a.tmp.npz",
    }
    for path in (theirs, *(tmp_path / name for name in kept)):
        path.touch()
    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_folders_that_killed_processes_were_writing_are_removed_too(tmp_path: Path):
    gone = tmp_path / "deep" / f".{HOST}-{2**31 - 2}-abcdef.tmp"
    gone.mkdir(parents=True)
    (gone / f".{HOST}-{2**31 - 2}-abcdef.tmp.json").write_text("half")
    remove_abandoned(tmp_path)
    assert list((tmp_path / "deep").iterdir()) == []


def test_files_being_written_are_known_to_belong_to_their_process(tmp_path: Path):
    with writing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        remove_abandoned(tmp_path)
        assert temporary.exists()
        assert temporary.name.startswith(f".{HOST}-{os.getpid()}-")


def test_json_of_another_form_is_refused_with_place_and_remedy(tmp_path):
    parse = TypeAdapter(dict[str, int]).validate_python
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_json_as(path, parse, "delete it") == {"a": 1}
    for text, place in {"[1]": "the whole file", '{"a": "x"}': "a"}.items():
        path.write_text(text)
        with pytest.raises(TagmaskError, match=rf"a\.json .*\({place}: .*\); delete it"):
            read_json_as(path, parse, "delete it")
