import asyncio
import errno

import pytest

from tagmask.serving.server.bodies import Body
from tagmask.serving.server.limits import Limits
from tagmask.serving.server.refusals import GoneError, RefusedError

LIMITS = Limits(body_bytes=10, send_seconds=0.05)


def body(*pieces, declared=None, ends=True):
    """A body of these pieces; one without an end is waited for."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if ends:
        messages[-1]["more_body"] = False

    async def receive():
        if messages:
            return messages.pop(0)
        return await asyncio.get_running_loop().create_future()

    return Body(receive, declared)


def keep(body, path, limits=LIMITS):
    asyncio.run(body.keep(path, limits))


def refusal(body, path):
    with pytest.raises(RefusedError) as caught:
        keep(body, path)
    return caught.value


def test_pieces_are_put_together_in_a_file(tmp_path):
    whole = body(b"abc", b"", b"defg", b"hij", declared="3")  # what is declared is not believed
    keep(whole, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abcdefghij"
    assert whole.is_over


def test_one_byte_too_many_is_refused_while_it_arrives(tmp_path):
    long = body(b"abcdefghij", b"k", b"never asked for")
    found = refusal(long, tmp_path / "x")
    assert found.status == 413
    assert "more than 10 bytes" in found.sentence
    assert not long.is_over


@pytest.mark.parametrize("declared", ["11", "9" * 5000])
def test_what_is_declared_too_large_is_refused_unread(tmp_path, declared):
    found = refusal(body(b"abc", declared=declared), tmp_path / "x")
    assert found.status == 413
    assert len(found.sentence) < 120
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("declared", ["-1", "abc", "", "²"])
def test_what_is_declared_in_no_number_is_not_looked_at(tmp_path, declared):
    keep(body(b"abc", declared=declared), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abc"


def test_an_empty_body_is_told_how_to_send_one(tmp_path):
    found = refusal(body(b""), tmp_path / "x")
    assert found.status == 400
    assert "curl --data-binary @photo.jpg" in found.sentence


def test_a_slow_client_is_not_waited_for(tmp_path):
    assert refusal(body(b"a", ends=False), tmp_path / "x").status == 408


def test_one_who_hangs_up_is_gone(tmp_path):
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(GoneError):
        keep(Body(receive, None), tmp_path / "x")


def test_a_full_disk_is_told_and_another_fault_is_ours(tmp_path):
    class Full:
        def __init__(self, number):
            self.number = number

        def open(self, mode):
            raise OSError(self.number, "no")

    assert refusal(body(b"a"), Full(errno.ENOSPC)).status == 503
    with pytest.raises(OSError, match="no"):
        keep(body(b"a"), Full(errno.EIO))


def test_the_rest_is_taken_and_thrown_away(tmp_path, monkeypatch):
    rest = body(b"abcdefghijk", b"more", b"more")
    refusal(rest, tmp_path / "x")
    asyncio.run(rest.discard())
    assert rest.is_over
    monkeypatch.setattr("tagmask.serving.server.bodies.LINGER_SECONDS", 0.02)
    endless = body(b"a", ends=False)
    asyncio.run(endless.discard())
    assert not endless.is_over
