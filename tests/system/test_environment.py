import platform
import subprocess
import sys

import pytest

from tagmask.system import environment as module
from tagmask.system.environment import environment, keep_freed_memory, peak_memory


def test_environments_name_what_results_depend_on():
    facts = environment()
    for name in ("tagmask", "torch", "timm", "numpy"):
        assert f"{name} " in facts["versions"]
    assert facts["commit"]
    assert all(isinstance(value, str) for value in facts.values())


def test_memory_is_counted_in_mebibytes():
    before = peak_memory()
    held = bytearray(64 * 2**20)
    assert held[-1] == 0
    assert 10 < before <= peak_memory() < 10**6


# Eight blocks of 8 MiB, 2 048 pages each, are written to and freed, five times.
FAULTS = """
import resource, sys
from tagmask.system.environment import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "keep" else False
[b"x" * 2**23 for _ in range(8)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    [b"x" * 2**23 for _ in range(8)]
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def kept_and_faults(mode: str, **environ: str) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True, env=environ)
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory of another C library")
def test_what_was_freed_is_used_again():
    kept, faults = kept_and_faults("keep")
    assert (kept, faults < 2048) == ("True", True)
    assert kept_and_faults("leave")[1] > 20 * faults
    assert kept_and_faults("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(module.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: pytest.fail("the C library was asked"))
    assert not keep_freed_memory()
