"""A guard before a web application that one person uses on their own machine. Needs nothing but ASGI."""

import secrets

from tagmask.system.asgi import AsgiApp, Headers, Receive, Scope, Send, with_headers

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        *("script-src 'self'", "style-src 'self'", "img-src 'self' blob:", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    )
)
"""What a page may load: its own files, and nothing of anybody else's."""

_HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def new_token() -> str:
    """A word that nobody guesses, fit for an address."""
    return secrets.token_urlsafe(24)


class LocalOnly:
    """Lets through what a browser on this machine asks for at an address with the token, and nothing else.

    The token is the first part of every path. A page of somebody else does not know it; should it learn it, its Origin
    gives it away; should its own name be made to lead to this machine (DNS rebinding), its Host does. Bodies must say
    how long they are, which servers of ASGI enforce.

    Args:
        application: what is guarded; it sees paths without the token.
        port: at which the server listens.
        token: from ``new_token``.
        largest_body: bytes.
    """

    def __init__(self, application: AsgiApp, port: int, token: str, largest_body: int) -> None:
        self._application, self._token, self._largest_body = application, token, largest_body
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        if port == 80:  # browsers leave it out
            self._hosts |= {"127.0.0.1", "localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say why not."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._application({**scope, "root_path": f"/{self._token}"}, receive, with_headers(send, _HEADERS))
        elif scope["type"] == "http":
            await _refuse(*refusal, with_headers(send, _HEADERS))
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = _headers(scope["headers"])
        if scope["type"] != "http":
            return 403, "nothing but HTTP is spoken here"
        if headers.get("host") not in self._hosts:
            return 403, "this page is for this machine alone: open the address that was printed"
        if not self._is_own(headers):
            return 403, "another page may not ask for this"
        if not secrets.compare_digest(scope["path"].split("/")[1].encode(), self._token.encode()):
            return 403, "the address lacks its token, or has that of an earlier start: open the one that was printed"
        return self._body_refusal(headers)

    def _is_own(self, headers: dict[str, str]) -> bool:
        """Whether a request comes from the page itself, or from somebody who typed the address or followed a link."""
        if (origin := headers.get("origin")) is not None and origin.removeprefix("http://") not in self._hosts:
            return False
        is_alone = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return is_alone or headers.get("sec-fetch-site", "none") in ("none", "same-origin")

    def _body_refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal():
            return 411, "say how long the body is"
        if int(length) > self._largest_body:
            return 413, f"the body has {length} bytes, and at most {self._largest_body} are taken"
        return None


def _headers(pairs: Headers) -> dict[str, str]:
    """Headers by name; of one that comes twice both values, which no check lets pass."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


async def _refuse(status: int, reason: str, send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
