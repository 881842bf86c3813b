import io
import json
import threading
import time

import numpy as np
import pytest
from PIL import Image

from tagmask.serving.guards import SAFE_HEADERS


def numbers(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def refused(answer, status, words):
    assert answer.status_code == status, answer.text
    sentence = answer.json()["error"]
    assert words in sentence
    assert len(sentence.splitlines()) == 1
    for name, value in SAFE_HEADERS:
        assert answer.headers[name.decode()] == value.decode()


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "JPEG", "GIF"])
def test_masks_are_those_of_the_predictor(serving, predictor, encoded, tmp_path_factory, kind):
    content = encoded(kind)
    path = tmp_path_factory.mktemp("same") / "photo"
    path.write_bytes(content)
    with serving() as (_, client):
        assert np.array_equal(numbers(client.post("/predict", content=content)), predictor(path))


def test_all_formats_hold_the_same_mask(serving, encoded):
    with serving() as (_, client):
        mask = numbers(client.post("/predict", content=encoded()))
        lengths = client.post("/predict", content=encoded(), headers={"accept": "application/json"}).json()
        overlay = numbers(client.post("/predict?format=overlay", content=encoded()))
    areas = {each["category_id"]: each["area"] for each in lengths["annotations"]}
    assert areas == {n: int((mask == n).sum()) for n in np.unique(mask).tolist() if n}
    assert overlay.shape == (*mask.shape, 3)


def test_photographs_are_turned_upright(serving, encoded):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (30, 20), "red")
    with serving() as (_, client):
        assert numbers(client.post("/predict", content=encoded("JPEG", picture, exif=exif))).shape == (30, 20)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"), ("P", "GIF"), ("1", "PNG"), ("I;16", "PNG"), ("F", "TIFF")],
)
def test_every_kind_of_pixel_gets_a_mask(serving, encoded, mode, kind):
    with serving() as (_, client):
        assert numbers(client.post("/predict", content=encoded(kind, Image.new(mode, (20, 30))))).shape == (30, 20)


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000)])
def test_odd_shapes_get_a_mask(serving, encoded, size):
    with serving() as (_, client):
        assert numbers(client.post("/predict", content=encoded(picture=Image.new("RGB", size)))).shape == size[::-1]


def test_an_answer_leads_to_its_classes(serving, predictor, encoded):
    with serving() as (_, client):
        assert client.post("/predict", content=encoded()).headers["link"] == '</classes>; rel="describedby"'
        found = client.get("/classes").json()
    assert [each["name"] for each in found] == ["background", *predictor.classes]


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_no_photograph_is_refused(serving, encoded):
    with serving(body_bytes=20_000, pixels=2500) as (service, client):
        refused(client.post("/predict"), 400, "the body is empty")
        refused(client.post("/predict", content=b"hello"), 415, "not an image")
        refused(client.post("/predict", files={"file": encoded()}), 415, "a form was sent")
        refused(client.post("/predict", content=encoded("JPEG")[:-50]), 422, "truncated")
        refused(client.post("/predict", content=bytes(20_001)), 413, "20001 bytes, expected at most 20000")
        refused(client.post("/predict", content=iter([bytes(9000)] * 3)), 413, "more than 20000 bytes")
        refused(client.post("/predict", content=encoded(picture=Image.new("1", (51, 50)))), 413, "51 = 2550 pixels")
        refused(client.post("/predict?format=exe", content=encoded()), 400, "expected one of png, rle, overlay")
        refused(client.post("/predict", content=encoded(), headers={"accept": "text/html"}), 406, "text/html")
        assert client.post("/predict", content=encoded()).status_code == 200
        assert (service.requests.inside, service.photographs.inside) == (0, 0)


def test_foreign_names_and_pages_are_refused(serving, encoded):
    with serving() as (_, client):
        refused(client.get("/classes", headers={"host": "evil.org"}), 403, "evil.org")
        refused(client.post("/predict", content=encoded(), headers={"origin": "http://evil.org"}), 403, "evil.org")
        own = client.post("/predict", content=encoded(), headers={"origin": "http://localhost"})
        assert own.status_code == 200


def test_addresses_and_methods_that_are_not_there(serving):
    with serving() as (_, client):
        for path in ("/nothing", "/predict/", "/..%2f..%2fetc/passwd", "/templates/front.html"):
            refused(client.get(path), 404, "nothing at this address")
        refused(client.get("/predict"), 405, "photographs are sent by POST to /predict")
        refused(client.post("/health"), 405, "POST does nothing here")


def test_a_full_queue_and_a_long_wait(serving, slow, encoded):
    go = threading.Event()
    waiting = slow(lambda: go.wait(10))
    with serving(waiting, queue=2, queue_seconds=0.3) as (_, client):
        found = []
        posts = [
            threading.Thread(target=lambda: found.append(client.post("/predict", content=encoded()))) for _ in range(2)
        ]
        for post in posts:
            post.start()
        while client.get("/health").json()["queue"] < 2:
            time.sleep(0.01)
        full = client.post("/predict", content=encoded())
        refused(full, 429, "2 photographs are in hand")
        assert full.headers["retry-after"] == "1"
        while len(found) < 1:
            time.sleep(0.01)
        refused(found[0], 503, "waited for 0.3 s")
        go.set()
        for post in posts:
            post.join()
        assert found[1].status_code == 200


def test_a_fault_of_ours_is_a_500_and_the_next_photograph_is_segmented(serving, slow, encoded):
    faults = [KeyError("secret")]

    def fail_once():
        if faults:
            raise faults.pop()

    faulty = slow(fail_once)
    with serving(faulty) as (_, client):
        answer = client.post("/predict", content=encoded())
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "its log says why" in answer.json()["error"]
        assert client.post("/predict", content=encoded()).status_code == 200
        assert 'path="/predict",status="500"} 1' in client.get("/metrics").text


def test_a_server_that_stops_takes_no_more(serving, encoded):
    with serving() as (service, client):
        assert client.get("/health").json() == {"ready": True, "model": "tiny", "queue": 0}
        service.requests.is_closing = True
        refused(client.post("/predict", content=encoded()), 503, "stopping")
        health = client.get("/health")
        assert (health.status_code, health.json()["ready"]) == (503, False)


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/docs", "text/html"),
        ("/front.js", "text/javascript"),
        ("/pages.css", "text/css"),
        ("/openapi.json", "application/json"),
        ("/classes", "application/json"),
        ("/health", "application/json"),
        ("/metrics", "text/plain"),
    ],
)
def test_what_is_read_has_its_kind_and_safe_headers(serving, path, kind):
    with serving() as (_, client):
        answer = client.get(path)
        head = client.head(path)
    assert answer.status_code == head.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    for name, value in SAFE_HEADERS:
        assert answer.headers[name.decode()] == value.decode()


def test_the_interface_describes_the_addresses_there_are(serving):
    with serving() as (_, client):
        described = json.loads(client.get("/openapi.json").text)["paths"]
        for path, methods in described.items():
            for method in methods:
                assert client.request(method, path).status_code not in (404, 405)


def test_meters_count_what_happened(serving, encoded):
    with serving() as (_, client):
        client.post("/predict", content=encoded())
        client.post("/predict", content=b"hello")
        text = client.get("/metrics").text
    assert 'tagmask_requests_total{path="/predict",status="200"} 1\n' in text
    assert 'tagmask_requests_total{path="/predict",status="415"} 1\n' in text
    assert "tagmask_photographs_total 1\n" in text
    assert "tagmask_pixels_total 2304\n" in text
