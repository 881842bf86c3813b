import subprocess
import sys

import pytest

from tagmask.errors import TagmaskError
from tagmask.system.lock import CLAIMS, InUseError, beside_others, lock_for

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


# ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────────────

BESIDE = (
    "import sys, pathlib; from tagmask.system.lock import beside_others\n"
    "with beside_others(pathlib.Path(sys.argv[1]), sys.argv[2], 'make-maps'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()"
)


@pytest.fixture
def shard(tmp_path):
    """A process that does the shard ``maps-1-of-2`` until it is told to end."""
    command = [sys.executable, "-c", BESIDE, str(tmp_path), "maps-1-of-2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_shards_work_beside_each_other_but_not_twice_on_the_same(tmp_path, shard):
    with beside_others(tmp_path, "maps-2-of-2", "make-maps"):
        assert len(list((tmp_path / CLAIMS).glob("*.json"))) == 2
    refusal = rf"this shard is being done: make-maps \(process {shard.pid} on .*remove .*maps-1-of-2\.json"
    with pytest.raises(InUseError, match=refusal), beside_others(tmp_path, "maps-1-of-2", "make-maps"):
        pass


def test_shards_keep_out_who_wants_the_folder_alone(tmp_path, shard):
    with pytest.raises(InUseError, match=rf"shards are at work in .*: make-maps \(process {shard.pid} on"):
        lock_for(Holder(), tmp_path)
    shard.kill()
    shard.wait()
    holder = Holder()
    lock_for(holder, tmp_path)
    assert not (tmp_path / CLAIMS).exists()


def test_a_shard_is_kept_out_where_somebody_is_alone(tmp_path, other):
    refusal = rf"is in use by process {other.pid} on .+ since"
    with pytest.raises(InUseError, match=refusal), beside_others(tmp_path, "maps-2-of-2", "make-maps"):
        pass
    assert not (tmp_path / CLAIMS).exists()
