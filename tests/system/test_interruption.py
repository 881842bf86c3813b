import os
import signal
import subprocess
import sys
import time

import pytest

from tagmask.system.interruption import Stopped, held_back, listen, listen_no_more, put_off, stop_if_asked
from tagmask.system.workers import in_order


@pytest.fixture(autouse=True)
def listening():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_the_exit_code_of_shells(number, code):
    with pytest.raises(Stopped) as caught:
        os.kill(os.getpid(), number)
    assert caught.value.code == code
    assert isinstance(caught.value, KeyboardInterrupt)


def work(done, *numbers):
    """Something that is asked to end, so many times, before it is done."""
    with held_back():
        for number in numbers:
            os.kill(os.getpid(), number)
        done.append("whole")


def test_what_must_not_be_cut_ends_first():
    done = []
    with pytest.raises(Stopped):
        work(done, signal.SIGTERM)
    assert done == ["whole"]
    with held_back():
        pass  # nothing is left over


def test_what_was_put_off_stops_at_the_next_look_and_is_not_lost():
    with put_off():
        os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Stopped) as caught:
        stop_if_asked()
    assert caught.value.code == 143
    stop_if_asked()  # once is enough


def test_a_second_request_is_followed_at_once():
    done = []
    with pytest.raises(Stopped):
        work(done, signal.SIGINT, signal.SIGINT)
    assert done == []


def test_an_error_in_work_that_was_held_back_is_not_hidden():
    with pytest.raises(AttributeError):
        work(None, signal.SIGINT)


def test_without_listening_a_request_to_end_ends_the_process():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGTERM


WITH_A_LOADER = """
import sys, time
from tagmask.system.interruption import held_back, listen
from tagmask.system.workers import in_order

listen()
results = in_order(str, range(100000), 1)
next(results)
with held_back():
    print("begun", flush=True)
    for _ in range(20):
        time.sleep(0.05)  # torch raises here if a loader process ends
    print("ended", flush=True)
"""


def test_a_request_to_all_processes_of_a_call_stops_its_first_and_that_ends_the_others():
    script = [sys.executable, "-c", WITH_A_LOADER]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(script, **pipes, text=True, start_new_session=True) as call:
        assert call.stdout.readline() == "begun\n"
        os.killpg(call.pid, signal.SIGTERM)
        out, errors = call.communicate(timeout=60)
    assert out == "ended\n"
    assert errors.splitlines()[-1] == "tagmask.system.interruption.Stopped: SIGTERM"
    with pytest.raises(ProcessLookupError):
        os.killpg(call.pid, 0)


WHILE_A_LOADER_STARTS = """
import os, signal
from tagmask.system.interruption import listen
from tagmask.system.workers import in_order

listen()
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
for _ in in_order(str, range(3), 1):
    print("not stopped", flush=True)
"""


def test_a_request_while_a_loader_process_starts_is_not_lost():
    script = [sys.executable, "-c", WHILE_A_LOADER_STARTS]
    ended = subprocess.run(script, capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1] == "tagmask.system.interruption.Stopped: SIGTERM"


WITH_MORE_THAN_A_PIPE_HOLDS = """
import time
from tagmask.system.workers import in_order

for _ in in_order(bytes, [1 << 20] * 100, 2):
    print("begun", flush=True)
    time.sleep(60)
"""


def test_loader_processes_end_soon_after_their_parent_was_killed():
    script = [sys.executable, "-c", WITH_MORE_THAN_A_PIPE_HOLDS]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True, start_new_session=True) as call:
        assert call.stdout.readline() == "begun\n"
        call.kill()
    for _ in range(300):
        try:
            os.killpg(call.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(call.pid, signal.SIGKILL)
    pytest.fail("half a minute later a loader process is still there")


def signals_ignored(item):
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_loader_process_leaves_ctrl_c_to_its_parent():
    assert list(in_order(signals_ignored, [0, 1], 1)) == [True, True]
    assert list(in_order(signals_ignored, [0], 0)) == [False]


def test_a_call_that_is_ending_already_is_ended_at_once():
    listen_no_more()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_DFL] * 2
