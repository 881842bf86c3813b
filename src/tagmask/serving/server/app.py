"""The server's addresses; needs `tagmask[serve]`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tagmask.serving.guards import Guard, SafeHeaders, header_values, send_error
from tagmask.serving.server import meters, pages
from tagmask.serving.server.answers import class_list, send_answer, wanted_format
from tagmask.serving.server.bodies import Body
from tagmask.serving.server.meters import Metered
from tagmask.serving.server.openapi import description
from tagmask.serving.server.refusals import GoneError, RefusedError
from tagmask.serving.server.service import Service
from tagmask.system.asgi import AsgiApp, Receive, Scope, Send

CLOSE = (b"connection", b"close")


def build_app(service: Service, hosts: Collection[str] | None, allowed: Collection[str] = ()) -> AsgiApp:
    """The whole server as one ASGI app.

    Args:
        service: makes the masks.
        hosts: as for ``Guard``.
        allowed: as for ``Guard``.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001
        work = asyncio.create_task(service.queue.work())
        try:
            yield
        finally:
            work.cancel()
            service.close()

    handlers = {HTTPException: _refused, 500: _failed}
    routes = [Route("/predict", Masks(service), methods=["POST"]), *_readings(service)]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Metered(SafeHeaders(Guard(app, hosts, allowed)), service.meters)


class Masks:
    """Answers a photograph with its mask."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; one whose client has gone gets none."""
        body = Body(receive, next(iter(header_values(scope, b"content-length")), None))
        try:
            with self.service.requests.entered(self.service.retry_after):
                _refuse_forms(scope)
                answer = await self.service.answer(body, _format(scope))
                await send_answer(send, answer, self.service.limits.send_seconds)
        except GoneError:
            return
        except RefusedError as refusal:
            await _refuse(scope, send, body, refusal)


def _refuse_forms(scope: Scope) -> None:
    for kind in header_values(scope, b"content-type"):
        if kind.lower().startswith("multipart/"):
            sentence = "a form was sent, expected the bytes of the photograph alone, as `curl --data-binary @photo.jpg`"
            raise RefusedError(415, sentence)


def _format(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return wanted_format(query, ", ".join(header_values(scope, b"accept")))


async def _refuse(scope: Scope, send: Send, body: Body, refusal: RefusedError) -> None:
    closing = [] if body.is_over else [CLOSE]
    if not body.is_over and not header_values(scope, b"expect"):  # one who asked first has not begun to send
        with contextlib.suppress(GoneError):
            await body.discard()
    await send_error(send, refusal.status, refusal.sentence, [*refusal.headers, *closing])


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {
        404: "there is nothing at this address; GET / says what there is",
        405: f"{request.method} does nothing here; photographs are sent by POST to /predict, all else is read by GET",
    }
    sentence = words.get(error.status_code, error.detail)
    return JSONResponse({"error": sentence}, error.status_code, dict(error.headers or {}))


async def _failed(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return JSONResponse({"error": "the server has failed at this; its log says why"}, 500)


def _readings(service: Service) -> list[Route]:
    """The addresses that are read."""

    async def health(_: Request) -> Response:
        ready = not service.requests.is_closing
        state = {"ready": ready, "model": service.name, "queue": service.photographs.inside}
        return JSONResponse(state, 200 if ready else 503)

    async def metrics(_: Request) -> Response:
        text = service.meters.text(len(service.queue), service.requests.inside)
        return PlainTextResponse(text, media_type=meters.KIND)

    fixed = [Route(path, _fixed(kind, text)) for path, (kind, text) in _texts(service).items()]
    return [Route("/health", health), Route("/metrics", metrics), *fixed]


def _texts(service: Service) -> dict[str, tuple[str, str]]:
    """What stays the same while the server runs: its kind and its text."""
    classes = class_list(service.classes)
    interface = description(version("tagmask"), service.limits)
    return {
        "/": ("text/html", pages.front_page(service.name, classes, service.limits)),
        "/front.js": ("text/javascript", pages.script()),
        "/pages.css": ("text/css", pages.style()),
        "/docs": ("text/html", pages.interface_page(interface)),
        "/openapi.json": ("application/json", json.dumps(interface)),
        "/classes": ("application/json", json.dumps(classes, ensure_ascii=False)),
    }


def _fixed(kind: str, text: str) -> Callable[[Request], Awaitable[Response]]:
    async def fixed(_: Request) -> Response:
        return Response(text, media_type=kind)

    return fixed
