import gzip
import json
import re

import numpy as np
import pytest
from starlette.testclient import TestClient

from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.reviewing import server
from tagmask.reviewing.images import RunImages
from tagmask.reviewing.packing import pack, unpack
from tagmask.reviewing.server import guarded, serve
from tagmask.reviews.store import Review

TOKEN = "secret"
BASE = "http://127.0.0.1:8001"


@pytest.fixture
def page(run_copy):
    return TestClient(guarded(run_copy, 8001, TOKEN), base_url=f"{BASE}/{TOKEN}/")


@pytest.fixture
def images(run_copy):
    return RunImages(run_copy)


def send(page, place, change, mask=None, squeeze=True):
    body = json.dumps(change).encode() + b"\n" + (b"" if mask is None else pack(mask))
    headers = {"content-encoding": "gzip"} if squeeze else {}
    return page.put(f"images/{place}/review", content=gzip.compress(body) if squeeze else body, headers=headers)


def test_the_page_and_its_files_are_sent_and_nothing_else(page):
    text = page.get("").text
    named = set(re.findall(r'(?:href|src)="page/([^"]+)"', text))
    assert {"begin.js", "style.css"} <= named
    for name in server.PAGE:
        answer = page.get(f"page/{name}")
        assert answer.status_code == 200
        assert (
            answer.headers["content-type"].partition(";")[0]
            == {
                "js": "text/javascript",
                "css": "text/css",
                "html": "text/html",
                "svg": "image/svg+xml",
            }[name.rpartition(".")[2]]
        )
    for name in ("..%2fserver.py", "server.py", "../server.py", "%2fetc%2fpasswd"):
        assert page.get(f"page/{name}").status_code in (403, 404)


def test_the_page_needs_nothing_of_anybody_else():
    for path in server.PAGE.values():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in re.sub(r"\.http\w*", "", text).replace("https", "http"), path.name
        assert not re.search(r"\son\w+=|<script>|style=\"|javascript:", text), path.name  # the policy would stop it


def test_modules_of_the_page_import_each_other_by_names_that_exist():
    for path in server.PAGE.values():
        for name in re.findall(r"from '\./([^']+)'", path.read_text(encoding="utf-8")):
            assert name in server.PAGE


def test_an_image_comes_with_all_that_is_drawn(page, images):
    record = images.records[2]
    size = images.size(record)
    assert page.get("images/2/photo").headers["content-type"] == "image/jpeg"
    assert page.get("images/2/thumbnail").content[:2] == b"\xff\xd8"
    for what in ("mask", "pseudo-mask"):
        assert np.array_equal(unpack(page.get(f"images/2/{what}").content, size), images.pseudo_mask(record))
    regions = unpack(page.get("images/2/regions/coarse").content, size)
    assert regions.max() > 10
    assert page.get("run").json()["images"][2]["id"] == record.id
    assert page.get("images/2/review").json() == {"decision": None, "tags": None, "version": ""}


@pytest.mark.parametrize(
    "path", ["images/4/mask", "images/-1/mask", "images/x/mask", "images/0/regions/9", "images/0/x"]
)
def test_what_is_not_there_is_not_found(page, path):
    assert page.get(path).status_code == 404


@pytest.mark.parametrize("squeeze", [True, False])
def test_every_pixel_of_a_correction_is_kept(page, images, squeeze):
    record = images.records[1]
    mask = np.random.default_rng(0).integers(0, 3, images.size(record)).astype(np.int32)
    mask[0] = IGNORE
    answer = send(page, 1, {"decision": "corrected", "tags": None, "seen": ""}, mask, squeeze)
    assert answer.json()["replaced"] is False
    assert np.array_equal(images.reviews.mask(record.id, images.size(record)), mask)
    assert np.array_equal(unpack(page.get("images/1/mask").content, mask.shape), mask)
    states = page.get("reviews").json()
    assert [state["decision"] for state in states] == [None, "corrected", None, None]
    assert states[1]["version"] == answer.json()["version"]
    assert page.get("progress").json()["left"] == 3


def test_a_review_that_came_from_an_old_version_replaces_and_says_so(page, images):
    send(page, 0, {"decision": "rejected", "seen": ""})
    assert send(page, 0, {"tags": [], "seen": "old"}).json()["replaced"] is True
    assert images.review(images.records[0]) == Review(tags=())


@pytest.mark.parametrize("change", [{"decision": "perhaps"}, {"tags": ["no such"]}, {"decision": "accepted"}, []])
def test_what_does_not_fit_is_refused_in_words(page, images, change):
    answer = send(page, 0, change)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/plain")
    assert "reload the page" in answer.text or "no class" in answer.text
    assert images.reviews.is_empty


def test_a_body_that_unpacks_to_more_than_an_image_is_refused(page, images):
    body = gzip.compress(b"0" * 3 * 2**20)
    answer = page.put("images/0/review", content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 422
    assert "at most" in answer.text


def test_a_mask_that_cannot_be_read_is_told_and_the_others_are_shown(page, images):
    images.run.folder.mask(images.records[0].id).write_bytes(b"no mask")
    answer = page.get("images/0/mask")
    assert answer.status_code == 422
    assert images.records[0].id in answer.text
    assert page.get("images/1/mask").status_code == 200


def test_strangers_are_refused(page):
    assert page.get("run", headers={"host": "evil.example"}).status_code == 403
    assert page.get("run", headers={"origin": "http://evil.example"}).status_code == 403
    assert page.get(f"{BASE}/run").status_code == 403
    assert page.put("images/0/review", content=iter([b"{}"])).status_code == 411
    assert "script-src 'self'" in page.get("").headers["content-security-policy"]


def test_a_run_without_masks_names_the_command_that_makes_them(run_copy):
    run_copy.folder.forget("make-masks")
    with pytest.raises(TagmaskError, match=r"run `tagmask make-masks .*copy` first"):
        serve(run_copy, 0, print)


def test_a_port_that_is_taken_is_told(run_copy):
    with server._listening(0) as taken, pytest.raises(TagmaskError, match="choose another --port"):
        serve(run_copy, taken.getsockname()[1], print)


def test_the_server_listens_to_this_machine_alone():
    with server._listening(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
