"""The server's interface in the words of OpenAPI."""

from typing import Any

from tagmask.data.images import PHOTO_FORMATS
from tagmask.serving.server.answers import FORMATS
from tagmask.serving.server.limits import Limits

REFUSALS = {
    400: "The body is empty, or the format is unknown.",
    403: "The request was addressed to a foreign name, or a foreign page asked for it.",
    406: "The Accept header names no format there is.",
    408: "The photograph did not arrive in time.",
    413: "The photograph has too many bytes or pixels.",
    415: "What was sent is no image of a kind that is read.",
    422: "The image is cut off or damaged, or has other bands than the network learned from.",
    429: "Too many photographs are in hand; Retry-After says when to come back.",
    503: "The photograph has waited too long, or the server is stopping.",
}

_ANNOTATION = {
    "type": "object",
    "properties": {
        "category_id": {"type": "integer", "description": "Number of the class, from 1, as in the PNG."},
        "category_name": {"type": "string"},
        "area": {"type": "integer", "description": "Pixels of the class."},
        "bbox": {"type": "array", "items": {"type": "integer"}, "description": "Left, top, width, height."},
        "segmentation": {
            "type": "object",
            "description": "Compressed run lengths down the columns, as pycocotools reads them.",
            "properties": {
                "size": {"type": "array", "items": {"type": "integer"}, "description": "Rows, columns."},
                "counts": {"type": "string"},
            },
        },
    },
}
_RUN_LENGTHS = {
    "type": "object",
    "properties": {
        "image": {
            "type": "object",
            "properties": {"height": {"type": "integer"}, "width": {"type": "integer"}},
        },
        "annotations": {"type": "array", "items": _ANNOTATION, "description": "Classes that the mask shows."},
    },
}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def description(version: str, limits: Limits) -> dict[str, Any]:
    """The interface as an OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "tagmask", "version": version, "description": "Masks of photographs."},
        "paths": {
            "/predict": {"post": _predict(limits)},
            "/classes": _reading("Number, name and colour of every class.", "application/json"),
            "/health": _reading("Whether the server takes photographs; 503 while it stops.", "application/json"),
            "/metrics": _reading("Counters for Prometheus.", "text/plain"),
        },
    }


def _predict(limits: Limits) -> dict[str, Any]:
    kinds = {f"image/{name.lower()}": {} for name in PHOTO_FORMATS}
    return {
        "summary": "The mask of one photograph.",
        "description": (
            f"At most {limits.body_bytes} bytes and {limits.pixels} pixels, sent within {limits.send_seconds:g} s. "
            "Without a format, Accept decides: image/png or application/json."
        ),
        "parameters": [
            {
                "name": "format",
                "in": "query",
                "schema": {"type": "string", "enum": list(FORMATS)},
                "description": "png: indexed mask; rle: run lengths; overlay: the mask over the photograph.",
            }
        ],
        "requestBody": {"required": True, "description": "The bytes of the image file.", "content": kinds},
        "responses": {
            "200": {
                "description": "The mask.",
                "content": {"image/png": {}, "application/json": {"schema": _RUN_LENGTHS}},
            },
            **{str(status): _refusal(text) for status, text in REFUSALS.items()},
        },
    }


def _refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": _ERROR}}}


def _reading(text: str, kind: str) -> dict[str, Any]:
    return {"get": {"summary": text, "responses": {"200": {"description": text, "content": {kind: {}}}}}}
