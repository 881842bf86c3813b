import io
import json
import signal
import socket
import sys
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from served import Server, received
from tagmask.errors import TagmaskError
from tagmask.inference.predictor import load
from tagmask.serving.server.limits import Limits

HEAD = b"POST /predict?format=rle HTTP/1.1\r\nHost: localhost\r\n"


running = pytest.importorskip(
    "tagmask.serving.server.running", reason="starlette and uvicorn belong to the development group: make setup"
)


def picture(size=(48, 48), kind="PNG", seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


# ── listening ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_port_in_use_is_refused():
    with running.listener("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(TagmaskError, match=r"cannot listen at 127\.0\.0\.1, port \d+: .*choose another --port"):
            running.listener("127.0.0.1", taken.getsockname()[1])


def test_an_address_of_no_machine_is_refused():
    with pytest.raises(TagmaskError, match=r"cannot listen at nowhere\.invalid"):
        running.listener("nowhere.invalid", 0)


def greeting(address, allowed=()):
    said = []
    running._greet(said.append, "x", address, 80, running.is_loopback(address), allowed)
    return " ".join(said)


def test_who_can_be_reached_from_elsewhere_is_warned():
    assert greeting("127.0.0.1") == "serving x at http://127.0.0.1:80 (Ctrl-C ends it)"
    assert greeting("::1") == "serving x at http://[::1]:80 (Ctrl-C ends it)"
    assert "warning: 0.0.0.0 can be reached from other machines" in greeting("0.0.0.0")
    assert "--allow-host" in greeting("0.0.0.0")
    assert "--allow-host" not in greeting("0.0.0.0", ["a"])


def test_without_a_model_nothing_is_served(tmp_path):
    with pytest.raises(TagmaskError, match="no trained segmenter"):
        running.serve(tmp_path, "127.0.0.1", 0, (), Limits(), "cpu", "none", print)


# ── a server in a process of its own ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_clients_of_bad_manners(tiny_run):
    options = ("--send-seconds", "1", "--max-megabytes", "1")
    with Server(tiny_run.folder.path, *options) as server:
        slow = server.connect(HEAD + b"Content-Length: 100\r\n\r\nabc")
        half = server.connect(b"GET / HT")
        endless = server.connect(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        pieces = threading.Thread(target=send_until_refused, args=(endless,))
        pieces.start()
        assert received(slow).startswith(b"HTTP/1.1 408 ")
        pieces.join()
        assert b"HTTP/1.1 413 " in received(endless)
        long_head = server.connect(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000)
        assert received(long_head).startswith(b"HTTP/1.1 400 ")
        asked_first = server.connect(HEAD + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n")
        assert received(asked_first).startswith(b"HTTP/1.1 413 ")
        gone = server.connect(HEAD + b"Content-Length: 100\r\n\r\nabc")
        gone.close()
        started = time.monotonic()
        assert received(half) in (b"", b"<reset>")  # ten seconds for a head
        assert time.monotonic() - started < 15
        assert server.post(picture())[0] == 200
        metrics = server.get("/metrics")[1].decode()
        assert 'status="499"} 1' in metrics
        assert "tagmask_in_hand 0" in metrics
        assert server.stop() == 0
        assert server.said[1:] == ["stopped; all requests in hand were answered\n"]


def send_until_refused(connection):
    try:
        for _ in range(1000):
            connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
            time.sleep(0.001)
    except OSError:
        pass


@pytest.mark.slow
def test_an_answer_that_is_not_taken_is_given_up(run_copy):
    with Server(run_copy.folder.path, "--send-seconds", "1") as server:
        noise = picture((2500, 2500), "BMP")  # its overlay does not fit into what the system keeps for a connection
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        head = f"POST /predict?format=overlay HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(noise)}\r\n\r\n"
        connection.sendall(head.encode() + noise)
        until = time.monotonic() + 60
        while (
            b"tagmask_photographs_total 1" not in (text := server.get("/metrics")[1])
            or b"tagmask_in_hand 0" not in text
        ):
            assert time.monotonic() < until, text
            time.sleep(0.1)
        connection.close()
        assert server.post(picture())[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_in_the_middle_answers_all_that_was_accepted(tiny_run, number, code):
    with Server(tiny_run.folder.path) as server:
        whole = picture((400, 400))
        late = server.connect(HEAD + f"Content-Length: {len(whole)}\r\n\r\n".encode() + whole[:100])
        with ThreadPoolExecutor(8) as clients:
            found = [clients.submit(attempt, server, whole) for _ in range(60)]
            while sum(each.done() for each in found) < 10:
                time.sleep(0.01)
            server.process.send_signal(number)
            time.sleep(0.3)
            refused = server.post(whole)  # it still listens, as the late one is in hand
            late.sendall(whole[100:])
            results = Counter(each.result() for each in found)
        assert received(late).startswith(b"HTTP/1.1 200 ")
        assert server.ended() == code
        assert refused[0] == 503
        assert b"stopping" in refused[1]
        assert results.keys() <= {200, 503, "not connected"}
        assert results[200] >= 10
        assert server.said[-1] == "stopped; all requests in hand were answered\n"


def attempt(server, content):
    """The status of an answer; a connection that was never made is one that was not accepted."""
    try:
        return server.post(content)[0]
    except ConnectionRefusedError:
        return "not connected"


@pytest.mark.slow
def test_who_asks_twice_does_not_wait(tiny_run):
    with Server(tiny_run.folder.path) as server:
        held = server.connect(HEAD + b"Content-Length: 100\r\n\r\nabc")
        while b"tagmask_in_hand 1" not in server.get("/metrics")[1]:
            time.sleep(0.05)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert server.process.poll() is None
        started = time.monotonic()
        assert server.stop(signal.SIGINT) == 130
        assert time.monotonic() - started < 10
        assert server.said[-1] == "stopped; 1 requests in hand were not answered\n"
        held.close()


@pytest.mark.slow
def test_what_lasts_too_long_is_not_waited_for(tiny_run):
    with Server(tiny_run.folder.path, "--stop-seconds", "1") as server:
        held = server.connect(HEAD + b"Content-Length: 100\r\n\r\nabc")
        while b"tagmask_in_hand 1" not in server.get("/metrics")[1]:
            time.sleep(0.05)
        assert server.stop() == 0
        assert server.said[-1] == "stopped; 1 requests in hand were not answered\n"
        held.close()


# ── a thousand requests ──────────────────────────────────────────────────────────────────────────────────────────────

GROWTH = 250  # MiB


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of another process from /proc")
def test_a_thousand_mixed_requests_at_eight_at_once(tiny_run, tmp_path):
    photographs = [picture((48, 40 + n), ("PNG", "JPEG", "BMP")[n % 3], n) for n in range(6)]
    expected = [areas(load(tiny_run.folder.path, "cpu"), content, tmp_path / "x") for content in photographs]
    kinds = (
        [(content, {200}) for content in photographs] * 2
        + [(content[: len(content) // 2], {422}) for content in photographs[:2]]
        + [(b"hello", {415}), (b"", {400}), (bytes(2 * 2**20), {413}), ("slow", {200}), ("stuck", {408})]
        + [(picture_of_claims(60_000, 60_000), {413})]
    )
    requests = list(islice((each for _ in range(1000) for each in kinds), 1000))
    with Server(tiny_run.folder.path, "--max-megabytes", "1", "--send-seconds", "1.5") as server:
        for content in photographs:
            assert server.post(content)[0] == 200
        before = server.memory("VmRSS")
        with ThreadPoolExecutor(8) as clients:
            found = list(clients.map(lambda request: one(server, request[0], photographs[0]), requests))
        for (content, allowed), (status, body) in zip(requests, found, strict=True):
            assert status in allowed, (status, body, content[:20])
            if status == 200:
                number = 0 if content == "slow" else photographs.index(content)
                assert {a["category_id"]: a["area"] for a in json.loads(body)["annotations"]} == expected[number]
            else:
                assert json.loads(body)["error"]
        assert len(found) == 1000
        assert server.memory() - before < GROWTH
        assert counted(server) == Counter(status for status, _ in found) + Counter({200: len(photographs)})
        assert server.stop() == 0


def areas(predictor, content, path):
    path.write_bytes(content)
    mask = predictor(path)
    return {number: int((mask == number).sum()) for number in np.unique(mask).tolist() if number}


def picture_of_claims(width, height):
    """A PNG whose head claims a size."""
    content = bytearray(picture())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def one(server, content, whole):
    """Status and body of one request; slow ones send piece by piece, stuck ones never end."""
    if isinstance(content, bytes):
        return server.post(content)
    connection = server.connect(HEAD + f"Connection: close\r\nContent-Length: {len(whole)}\r\n\r\n".encode())
    for start in range(0, len(whole) if content == "slow" else 1000, 1000):
        connection.sendall(whole[start : start + 1000])
        time.sleep(0.02)
    head, _, body = received(connection).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def counted(server):
    """How often each status was given for a photograph, by the server's own count."""
    lines = server.get("/metrics")[1].decode().splitlines()
    counts = (line.split('path="/predict",status="')[1].split('"} ') for line in lines if 'path="/predict"' in line)
    return Counter({int(status): int(count) for status, count in counts})
