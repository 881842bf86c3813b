import asyncio

import pytest

from tagmask.system.local_only import LocalOnly, new_token

TOKEN = "secret"
OWN = {"host": "127.0.0.1:8001"}


def ask(path=f"/{TOKEN}/run", kind="http", port=8001, pairs=None, **headers):
    """Status, headers and body of an answer, and what the application behind the guard saw."""
    seen, sent = [], []

    async def application(scope, receive, send):
        seen.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
            await send({"type": "http.response.body", "body": b"inside"})

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    merged = OWN | {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = pairs or [(name.encode(), value.encode()) for name, value in merged.items()]
    scope = {"type": kind, "path": path, "headers": pairs}
    asyncio.run(LocalOnly(application, port, TOKEN, 100)(scope, receive, send))
    return sent, seen


def status(*arguments, **headers):
    sent, seen = ask(*arguments, **headers)
    assert bool(seen) is (sent[0]["status"] == 200)
    return sent[0]["status"]


def test_the_page_itself_is_answered():
    assert status() == 200
    assert status(host="localhost:8001", origin="http://localhost:8001", sec_fetch_site="same-origin") == 200
    assert status(content_length="100") == 200


def test_the_application_sees_paths_without_the_token():
    _, [scope] = ask()
    assert scope["path"].removeprefix(scope["root_path"]) == "/run"


def test_a_link_may_be_followed_but_not_framed():
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert status(**link, sec_fetch_dest="document") == 200
    assert status(**link, sec_fetch_dest="iframe") == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8001"},
        {"host": "127.0.0.1:8002"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1:8001.evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "https://127.0.0.1:8001"},
        {"origin": "null"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_whoever_comes_from_elsewhere_is_refused(headers):
    assert status(**headers) == 403


@pytest.mark.parametrize("path", ["/", "", "/run", "/secre/run", "/secrets/run", "//secret/run", "/\N{SNOWMAN}/run"])
def test_without_the_token_nothing_is_answered(path):
    assert status(path or "/") == 403


def test_a_host_that_comes_twice_is_no_host():
    sent, seen = ask(pairs=[(b"host", b"127.0.0.1:8001"), (b"Host", b"evil.example")])
    assert sent[0]["status"] == 403
    assert seen == []


def test_bodies_are_limited_and_say_how_long_they_are():
    assert status(content_length="101") == 413
    assert status(content_length="-1") == 411
    assert status(content_length="1e2") == 411
    assert status(transfer_encoding="chunked") == 411


def test_every_answer_keeps_other_pages_out():
    for path in (f"/{TOKEN}/", "/"):
        [start, _], _ = ask(path)
        headers = dict(start["headers"])
        assert b"default-src 'none'" in headers[b"content-security-policy"]
        assert b"http" not in headers[b"content-security-policy"]
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"referrer-policy"] == b"no-referrer"


def test_nothing_but_http_gets_through():
    sent, seen = ask(kind="websocket")
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert seen == []
    assert ask(kind="lifespan")[1]


def test_the_bare_host_is_known_at_port_80():
    assert status(port=80, host="localhost") == 200


def test_tokens_differ_and_are_long():
    assert len({new_token() for _ in range(9)}) == 9
    assert len(new_token()) >= 32
