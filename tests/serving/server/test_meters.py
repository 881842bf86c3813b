import asyncio

import pytest

from tagmask.serving.server.meters import GONE, Metered, Meters


def values(meters):
    lines = meters.text(waiting=3, in_hand=5).splitlines()
    assert all(len(line.rsplit(" ", 1)) == 2 for line in lines)
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_requests_are_counted_by_path_and_status():
    meters = Meters(["/predict", "/health"])
    for path, status in (("/predict", 200), ("/predict", 200), ("/predict", 413), ("/a", 404), ("/b", 404)):
        meters.count(path, status, 0.2)
    found = values(meters)
    assert found['tagmask_requests_total{path="/predict",status="200"}'] == 2
    assert found['tagmask_requests_total{path="/predict",status="413"}'] == 1
    assert found['tagmask_requests_total{path="other",status="404"}'] == 2  # strangers do not name our metrics
    assert (found["tagmask_queue_length"], found["tagmask_in_hand"]) == (3, 5)


def test_the_histogram_adds_up():
    meters = Meters(["/predict"])
    for seconds in (0.005, 0.01, 0.3, 0.3, 99.0):
        meters.count("/predict", 200, seconds)
    meters.count("/predict", 503, 50.0)
    meters.count("/health", 200, 50.0)
    found = values(meters)
    counts = [
        found[f'tagmask_predict_seconds_bucket{{le="{bound}"}}'] for bound in ("0.01", "0.25", "0.5", "60", "+Inf")
    ]
    assert counts == [2, 2, 4, 4, 5]
    assert found["tagmask_predict_seconds_count"] == 5
    assert found["tagmask_predict_seconds_sum"] == pytest.approx(99.615)


def test_every_metric_has_one_help_and_one_type():
    text = Meters([]).text(0, 0)
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert names == [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) == 6
    assert text.endswith("\n")


def run(app):
    meters = Meters(["/x"])

    async def send(message):
        pass

    asyncio.run(Metered(app, meters)({"type": "http", "path": "/x"}, None, send))
    return values(meters)


def test_the_status_is_that_of_the_answer():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert run(app)['tagmask_requests_total{path="/x",status="418"}'] == 1


def test_those_without_an_answer_are_counted_too():
    async def app(scope, receive, send):
        pass

    assert run(app)[f'tagmask_requests_total{{path="/x",status="{GONE}"}}'] == 1
