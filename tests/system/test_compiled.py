import subprocess
import sys

import pytest

from tagmask.system import compiled

CACHE_FOLDER = "from tagmask.masks.crf.gaussian_filter import _blur; print(_blur._cache.cache_path)"


def add(a, b):
    return a + b


def test_compiled_functions_compute_the_same():
    assert compiled.compiled(add)(2, 3) == 5


@pytest.mark.parametrize("threads", [0, 1, 2, 9])
def test_threads_do_each_piece_once_and_pass_on_what_it_raises(threads):
    done = []
    compiled.in_threads(done.append, 5, threads)
    assert sorted(done) == [0, 1, 2, 3, 4]
    compiled.in_threads(done.append, 0, threads)
    assert len(done) == 5
    with pytest.raises(ZeroDivisionError):
        compiled.in_threads(lambda number: 1 // number, 2, threads)


def test_without_a_writable_folder_it_compiles_without_a_cache(monkeypatch: pytest.MonkeyPatch):
    real, tried = compiled.njit, []

    def njit(**options):
        tried.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(compiled, "njit", njit)
    assert compiled.compiled(add)(2, 3) == 5
    assert tried == [{"cache": True, "nogil": True}, {"nogil": True}]


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", CACHE_FOLDER], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))
