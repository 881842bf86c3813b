import http.server
import threading

import pytest

from tagmask.errors import TagmaskError
from tagmask.networks.backbones import hub
from tagmask.networks.backbones.hub import check_fetchable


@pytest.fixture
def empty_cache(monkeypatch):
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda repository, name: None)


@pytest.fixture
def refusing_server():
    """Answers every request with 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *_):
            """Quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address_that_does_not_answer_is_told_whole_with_what_to_do(empty_cache, monkeypatch):
    monkeypatch.setattr(hub, "hf_hub_url", lambda repository, name: f"http://127.0.0.1:9/{repository}/{name}")
    with pytest.raises(
        TagmaskError, match=r"http://127\.0\.0\.1:9/timm/\S+/model\.safetensors does not answer"
    ) as caught:
        check_fetchable("mobilenetv2_100")
    assert "backbone.weights" in str(caught.value)
    assert "none" in str(caught.value)


def test_a_server_that_answers_is_left_to_say_what_is_wrong(empty_cache, monkeypatch, refusing_server):
    monkeypatch.setattr(hub, "hf_hub_url", lambda repository, name: f"{refusing_server}/{repository}/{name}")
    check_fetchable("mobilenetv2_100")


def test_weights_in_the_cache_need_no_network(monkeypatch):
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda repository, name: "/cache/model.safetensors")
    monkeypatch.setattr(hub, "hf_hub_url", lambda *_: pytest.fail("asked for"))
    check_fetchable("mobilenetv2_100")


def test_models_without_known_weights_are_left_to_timm():
    check_fetchable("hf-hub:somebody/some-model")
