"""Ctrl-C and the request to end (SIGTERM): work stops where nothing is half done, and within seconds."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from types import FrameType

from tagmask.errors import TagmaskError


class Stopped(KeyboardInterrupt):
    """The call was asked to end.

    Attributes:
        code: exit code by the custom of shells: 128 and the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class _Requests:
    """What has been asked for while it was held back."""

    held_back = False
    number: int | None = None


def listen() -> None:
    """From now on both signals raise ``Stopped`` in the main thread, or as soon as ``held_back`` lets them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)


def listen_no_more() -> None:
    """From now on either signal ends the process at once: the call is ending already, and has nothing left to say."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    if _Requests.held_back and _Requests.number is None:
        _Requests.number = number
        return
    _Requests.number = None
    raise Stopped(number)  # at once if it is asked for twice


@contextmanager
def put_off() -> Iterator[None]:
    """As ``held_back``, but the call ends only at the next ``stop_if_asked``, or after the next piece held back.

    For what may run while something is collected: Python drops what is raised there.
    """
    before, _Requests.held_back = _Requests.held_back, True
    try:
        yield
    finally:
        _Requests.held_back = before


def stop_if_asked() -> None:
    """Raise ``Stopped`` if it was put off."""
    number, _Requests.number = _Requests.number, None
    if number is not None and not _Requests.held_back:
        raise Stopped(number)
    _Requests.number = number


@contextmanager
def held_back() -> Iterator[None]:
    """Let a short piece of work end before the call does."""
    _Requests.held_back = True
    try:
        yield
    finally:
        _Requests.held_back = False
        number, _Requests.number = _Requests.number, None
    if number is not None:
        raise Stopped(number)


# ── loader processes ─────────────────────────────────────────────────────────────────────────────────────────────────


def leave_it_to_the_parent() -> None:
    """For loader processes: schedulers send SIGTERM, and terminals SIGINT, to all processes of a call.

    Its first one ends the others, so a loader process follows its parent alone, and ends soon after a parent that was
    killed: torch's own would wait for ever for somebody to read what it has sent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigtimedwait"):  # on Linux, which tells who asks
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if (parent := parent_process()) is not None:
        Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    while parent.is_alive() and not _asked_by(parent.pid):
        pass
    os._exit(0)


def _asked_by(parent: int | None) -> bool:
    """Whether the parent asks this process to end, after a second at most."""
    if not hasattr(signal, "sigtimedwait"):
        time.sleep(1)
        return False
    asked = signal.sigtimedwait({signal.SIGTERM}, 1)
    return asked is not None and asked.si_pid == parent


def loader_killed(error: RuntimeError) -> TagmaskError | None:
    """What to tell a person if torch says, wherever its user is just then, that a loader process was killed."""
    if "DataLoader worker" not in str(error):
        return None
    return TagmaskError(
        "a loader process was killed, most often because memory ran out. What is finished is kept; go on with fewer of "
        "them (--set workers=0) or with more memory."
    )
