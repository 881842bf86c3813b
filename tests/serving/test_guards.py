import asyncio
import json

import pytest

from tagmask.serving.guards import LOOPBACK, SAFE_HEADERS, Guard, SafeHeaders


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": b"inside"})


def messages(guarded, method="GET", kind="http", **headers):
    sent = []

    async def send(message):
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, values in headers.items() for value in values]
    scope = {"type": kind, "headers": pairs} | ({"method": method} if kind == "http" else {})
    asyncio.run(guarded(scope, None, send))
    return sent


def status(guarded, method="GET", **headers):
    return messages(guarded, method, **headers)[0]["status"]


local = Guard(app, LOOPBACK, ["masks.example.org"])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "masks.example.org"])
def test_own_names_are_let_in(host):
    assert status(local, host=[host]) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.org", "localhost.evil.org", "127.0.0.1.evil.org", "a@localhost", "localhost@evil.org", "", "0.0.0.0",
     "localhost:99:1", "localhost/", "127.0.0.2"],
)  # fmt: skip
def test_foreign_names_are_refused_in_a_sentence(host):
    start, body = messages(local, host=[host])
    assert start["status"] == 403
    assert "expected one of 127.0.0.1, ::1, localhost, masks.example.org" in json.loads(body["body"])["error"]


def test_no_name_and_two_names_are_refused():
    assert status(local) == 403
    assert status(local, host=["localhost", "evil.org"]) == 403


def test_a_server_for_others_is_addressed_by_any_name():
    assert status(Guard(app, None), host=["evil.org"]) == 200
    assert status(Guard(app, None)) == 200


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:8000", 200),
        ("https://masks.example.org", 200),
        ("http://localhost:3000", 403),
        ("http://localhost", 403),
        ("http://evil.org", 403),
        ("http://evil.org/localhost:8000", 403),
        ("http://masks.example.org.evil.org", 403),
        ("null", 403),
        ("", 403),
        ("file://", 403),
    ],
)
def test_of_pages_only_its_own_and_allowed_ones_may_change_something(origin, expected):
    assert status(local, "POST", host=["localhost:8000"], origin=[origin]) == expected
    assert status(local, "DELETE", host=["localhost:8000"], origin=[origin]) == expected
    assert status(local, "GET", host=["localhost:8000"], origin=[origin]) == 200


def test_one_foreign_origin_among_others_is_enough():
    assert status(local, "POST", host=["localhost"], origin=["http://localhost", "http://evil.org"]) == 403


def test_programs_say_no_origin():
    assert status(local, "POST", host=["localhost"]) == 200


def test_origins_are_looked_at_whatever_the_hosts():
    anyone = Guard(app, None)
    assert status(anyone, "POST", host=["10.0.0.1:8000"], origin=["http://10.0.0.1:8000"]) == 200
    assert status(anyone, "POST", host=["10.0.0.1:8000"], origin=["http://evil.org"]) == 403
    assert status(anyone, "POST", origin=["http://evil.org"]) == 403


def test_web_sockets_are_guarded_too():
    closed = messages(local, kind="websocket", host=["localhost"], origin=["http://evil.org"])
    assert closed == [{"type": "websocket.close", "code": 1008}]


def test_what_is_no_request_passes():
    assert messages(local, kind="lifespan")[0]["status"] == 200


def test_long_names_are_cut_in_messages():
    _, body = messages(local, host=["x" * 5000])
    assert len(body["body"]) < 400


def test_safe_headers_come_with_those_of_the_app():
    start, body = messages(SafeHeaders(app))
    assert start["headers"] == [(b"x-own", b"1"), *SAFE_HEADERS]
    assert body["body"] == b"inside"
    policy = dict(SAFE_HEADERS)[b"content-security-policy"]
    assert policy.startswith(b"default-src 'none'")
    assert b"http" not in policy
    assert b"unsafe" not in policy
