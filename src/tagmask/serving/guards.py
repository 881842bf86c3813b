"""Who may speak to a server on this machine: ASGI middleware against foreign pages; needs no package.

A stranger's page that is open in a browser can send requests to servers of the same machine. If it gives its own name
a local address (DNS rebinding) it can even read the answers. A browser always says by which name it was led here
(`Host`), and of what may change something, which page asked for it (`Origin`): foreign ones are refused here.
"""

import ipaddress
import json
import re
from collections.abc import Collection

from tagmask.system.asgi import AsgiApp, Headers, Receive, Scope, Send, with_headers

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/@?#\s]+))(?::\d{1,5})?")
_ORIGIN = re.compile(r"https?://(\S+)")

SAFE_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        b"form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def is_loopback(address: str) -> bool:
    """Whether an address, such as that of a bound socket, can be reached from this machine alone.

    >>> [is_loopback(address) for address in ("127.0.0.1", "::1", "0.0.0.0", "192.168.1.7", "localhost")]
    [True, True, False, False, True]
    """
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return address == "localhost"


def host_name(header: str) -> str | None:
    """The name in a `Host` header, without port, in small letters; None: it is no such header.

    >>> [host_name(text) for text in ("LocalHost:8000", "[::1]:80", "example.org.", "a@b", "", "a:b")]
    ['localhost', '::1', 'example.org', None, None, None]
    """
    found = _HOST.fullmatch(header.lower())
    return (found[1] or found[2]).rstrip(".") if found else None


class Guard:
    """Refuses with 403 what was led here by a foreign name, or what a foreign page asked for.

    Args:
        app: what is guarded.
        hosts: names that a `Host` header may have, such as ``LOOPBACK``; None: any, for servers that are not local.
        allowed: further names, of `Host` headers and of pages that may ask for changes, such as that of a proxy.
    """

    def __init__(self, app: AsgiApp, hosts: Collection[str] | None, allowed: Collection[str] = ()) -> None:
        self.app = app
        self.allowed = frozenset(name.lower() for name in allowed)
        self.hosts = None if hosts is None else self.allowed | {name.lower() for name in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        objection = None if scope["type"] == "lifespan" else self.objection(scope)
        if objection is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send_error(send, 403, objection)

    def objection(self, scope: Scope) -> str | None:
        """Why a request is refused, in a sentence; None: it is not."""
        hosts = header_values(scope, b"host")
        if self.hosts is not None and (len(hosts) != 1 or host_name(hosts[0]) not in self.hosts):
            named = _shown(hosts[0]) if len(hosts) == 1 else f"{len(hosts)} Host headers"
            return (
                f"this server was addressed as {named}, expected one of {', '.join(sorted(self.hosts))}; use such an "
                "address, or start the server with --allow-host"
            )
        if scope.get("method") in HARMLESS:
            return None
        return next(filter(None, (self._foreign(origin, hosts) for origin in header_values(scope, b"origin"))), None)

    def _foreign(self, origin: str, hosts: list[str]) -> str | None:
        found = _ORIGIN.fullmatch(origin.lower())
        place = found[1] if found else ""
        if place and (place in [host.lower() for host in hosts] or host_name(place) in self.allowed):
            return None
        return (
            f"the page {_shown(origin)} asked for this, which is not a page of this server; use its own page, or start "
            "the server with --allow-host"
        )


class SafeHeaders:
    """Adds headers by which a browser loads nothing from elsewhere and shows the pages in no foreign frame."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; the headers go with the answer."""
        await self.app(scope, receive, with_headers(send, SAFE_HEADERS))


def header_values(scope: Scope, name: bytes) -> list[str]:
    """All values of a header, which may be given several times."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name]


async def send_error(send: Send, status: int, sentence: str, headers: Headers = ()) -> None:
    """Answer ``{"error": sentence}``."""
    body = json.dumps({"error": sentence}).encode()
    own = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
