import asyncio
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from tagmask.masks.overlays import overlay_mask
from tagmask.serving.server import answers
from tagmask.serving.server.answers import FORMATS, PIECE, Answer, class_list, send_answer, wanted_format
from tagmask.serving.server.refusals import GoneError, RefusedError

CLASSES = ("cat", "dög")
MASK = np.array([[0, 0, 2, 2], [0, 2, 2, 0], [0, 0, 0, 0]], np.int32)
PIXELS = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def opened(answer):
    assert answer.kind == "image/png"
    return Image.open(io.BytesIO(answer.content))


def test_a_png_holds_the_numbers_of_the_classes():
    image = opened(FORMATS["png"](PIXELS, MASK, CLASSES))
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image), MASK)
    assert image.getpalette()[6:9] == [0, 128, 0]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools predates numpy 2
def test_run_lengths_are_those_of_coco():
    answer = FORMATS["rle"](PIXELS, MASK, CLASSES)
    found = json.loads(answer.content)
    assert answer.kind == "application/json"
    assert found["image"] == {"height": 3, "width": 4}
    [dog] = found["annotations"]
    assert (dog["category_id"], dog["category_name"], dog["area"], dog["bbox"]) == (2, "dög", 4, [1, 0, 3, 2])
    assert np.array_equal(coco.decode(dog["segmentation"]), MASK == 2)
    assert coco.toBbox(dog["segmentation"]).tolist() == dog["bbox"]


def test_a_mask_of_background_alone_has_no_annotations():
    found = json.loads(FORMATS["rle"](PIXELS, np.zeros((3, 4), np.int32), CLASSES).content)
    assert found["annotations"] == []


def test_an_overlay_is_that_of_predict():
    image = opened(FORMATS["overlay"](PIXELS, MASK, CLASSES))
    assert np.array_equal(np.asarray(image), overlay_mask(PIXELS, MASK))


def test_a_large_overlay_is_smaller(monkeypatch):
    monkeypatch.setattr(answers, "largest_factor", lambda size: 0.5)
    pixels, mask = PIXELS.repeat(2, axis=0).repeat(2, axis=1), MASK.repeat(2, axis=0).repeat(2, axis=1)
    assert opened(FORMATS["overlay"](pixels, mask, CLASSES)).size == (4, 3)


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ("", "", "png"),
        ("", "*/*", "png"),
        ("", "image/png", "png"),
        ("", "application/json", "rle"),
        ("", "text/html, application/json;q=0.5, */*;q=0.1", "rle"),
        ("", "application/json;q=0.1, IMAGE/*;q=0.2", "png"),
        ("", "image/png;q=0, application/json", "rle"),
        ("format=overlay", "application/json", "overlay"),
        ("x=1&format=rle", "", "rle"),
    ],
)
def test_the_format_is_that_of_the_query_or_the_most_wanted(query, accept, expected):
    assert wanted_format(query, accept) == expected


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("format=tiff", "", 400),
        ("format=", "", 400),
        ("format=png&format=rle", "", 400),
        ("&".join(["a=1"] * 100), "", 400),
        ("", "text/html", 406),
        ("", "image/png;q=0", 406),
        ("", ",".join(["a/b"] * 1000), 406),
    ],
)
def test_formats_that_are_not_there_are_refused(query, accept, status):
    with pytest.raises(RefusedError) as caught:
        wanted_format(query, accept)
    assert caught.value.status == status
    assert len(caught.value.sentence) < 200


def test_classes_have_number_name_and_colour():
    assert class_list(CLASSES) == [
        {"index": 0, "name": "background", "color": [0, 0, 0]},
        {"index": 1, "name": "cat", "color": [128, 0, 0]},
        {"index": 2, "name": "dög", "color": [0, 128, 0]},
    ]


def test_an_answer_goes_in_pieces():
    sent = []

    async def send(message):
        sent.append(message)

    content = bytes(range(256)) * (PIECE // 256) + b"end"
    asyncio.run(send_answer(send, Answer("image/png", content), 5))
    start, *pieces = sent
    assert dict(start["headers"])[b"content-length"] == str(len(content)).encode()
    assert [len(piece["body"]) for piece in pieces] == [PIECE, 3]
    assert [piece["more_body"] for piece in pieces] == [True, False]
    assert b"".join(piece["body"] for piece in pieces) == content


def test_a_client_that_does_not_take_its_answer_is_given_up():
    async def send(message):
        await asyncio.sleep(10 if message["type"] == "http.response.body" else 0)

    with pytest.raises(GoneError):
        asyncio.run(send_answer(send, Answer("image/png", b"x"), 0.02))
