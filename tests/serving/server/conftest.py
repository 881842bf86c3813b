"""What tests of the server share: a trained run of a few steps behind a client without a network in between."""

import io
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from tagmask.inference.predictor import Predictor, load
from tagmask.serving.guards import LOOPBACK
from tagmask.serving.server.limits import Limits
from tagmask.serving.server.service import Service

MISSING = "starlette, uvicorn and httpx2 belong to the development group: make setup"


@pytest.fixture(scope="session")
def predictor(tiny_run):
    return load(tiny_run.folder.path, "cpu")


@pytest.fixture
def scene(scenes):
    return scenes.read_image(scenes.records[0])


@pytest.fixture
def encoded(scene):
    """The bytes of the scene, or of another picture, in a format."""

    def encode(kind="PNG", picture=None, **options):
        buffer = io.BytesIO()
        image = Image.fromarray(scene) if picture is None else picture
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def serving(predictor, tmp_path):
    """Makes a service with its client: ``with serving(queue=1) as (service, client)``."""
    app = pytest.importorskip("tagmask.serving.server.app", reason=MISSING)
    pytest.importorskip("httpx2", reason=MISSING)
    testclient = pytest.importorskip("starlette.testclient", reason=MISSING)

    @contextmanager
    def start(predictor=predictor, **limits):
        service = Service(predictor, "tiny", tmp_path, Limits(**limits))
        whole = app.build_app(service, LOOPBACK)
        with testclient.TestClient(whole, "http://localhost", raise_server_exceptions=False) as client:
            yield service, client
        assert list(tmp_path.iterdir()) == []  # no photograph stays behind

    return start


class Slow(Predictor):
    """A predictor whose masks come when it is told to, and are the number of columns throughout."""

    def __init__(self, wait):
        self.classes = tuple(map(str, range(50)))  # without a network
        self.wait = wait

    def read(self, path):
        return np.asarray(Image.open(path).convert("RGB"))

    def __call__(self, image):
        self.wait()
        return np.full(image.shape[:2], image.shape[1], np.int32)


@pytest.fixture
def slow():
    return Slow
