import subprocess
import sys

import pytest

from tagmask.errors import TagmaskError
from tagmask.system.lock import lock_for

HOLD = "import sys, pathlib; from tagmask.system.lock import lock_for; lock_for(sys, pathlib.Path(sys.argv[1]))"


class Holder:
    """Something that lives for a while."""


@pytest.fixture
def other(tmp_path):
    """A process that holds the lock of a folder until it is told to end."""
    command = [sys.executable, "-c", f"{HOLD}; print('held', flush=True); sys.stdin.read()", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_folder_that_another_process_works_in_is_refused_with_its_number(tmp_path, other):
    with pytest.raises(TagmaskError, match=rf"is in use by process {other.pid} on .+ since \d{{4}}"):
        lock_for(Holder(), tmp_path)


def test_a_lock_goes_with_its_process_however_that_ends(tmp_path, other):
    other.kill()
    other.wait()
    lock_for(Holder(), tmp_path)


def test_a_lock_goes_with_its_holder(tmp_path):
    holder = Holder()
    lock_for(holder, tmp_path)
    lock_for(Holder(), tmp_path)  # the same process may come again
    refused = subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "is in use by process" in refused.stderr
    del holder
    subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], check=True)
