import numpy as np
import pytest

from tagmask.errors import TagmaskError
from tagmask.reviewing.images import RunImages
from tagmask.reviewing.packing import pack
from tagmask.reviewing.saving import Change, Desk, largest_change, read_change
from tagmask.reviews.store import Review

MASK = np.array([[0, 1], [2, -1]], np.int32)
BODY = b'{"decision": "corrected", "tags": ["a"], "seen": "v"}\n' + pack(MASK)


def test_a_change_is_a_line_of_json_and_a_mask():
    change, mask = read_change(BODY, (2, 2))
    assert change == Change(decision="corrected", tags=("a",), seen="v")
    assert change.review() == Review(decision="corrected", tags=("a",))
    assert np.array_equal(mask, MASK)
    assert read_change(b'{"decision": "rejected"}\n', (2, 2)) == (Change(decision="rejected"), None)
    assert len(BODY) < largest_change((2, 2))


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"{}x", b'{"decision": "perhaps"}\n', b'{"path": "/etc"}\n', b'{"decision": "accepted"}\n', BODY[:-1]],
)
def test_anything_else_is_refused(body):
    with pytest.raises(TagmaskError, match="reload the page"):
        read_change(body, (2, 2))


@pytest.fixture
def desk(run_copy):
    return Desk(RunImages(run_copy))


@pytest.fixture
def record(desk):
    return desk.images.records[0]


def test_a_change_is_kept_and_its_version_told(desk, record):
    mask = np.zeros(desk.images.size(record), np.int32)
    saved = desk.keep(record, Change(decision="corrected"), mask)
    assert saved.version == desk.images.version(record) != ""
    assert not saved.replaced
    assert not desk.keep(record, Change(decision="rejected", seen=saved.version), None).replaced


def test_the_later_of_two_pages_wins_and_is_told(desk, record):
    desk.keep(record, Change(decision="rejected"), None)
    assert desk.keep(record, Change(tags=()), None).replaced
    assert desk.images.review(record) == Review(tags=())


def test_a_change_that_says_nothing_takes_the_review_back(desk, record):
    saved = desk.keep(record, Change(decision="rejected"), None)
    assert desk.keep(record, Change(seen=saved.version), None).version == ""
    assert desk.images.reviews.is_empty


def test_what_is_refused_changes_nothing(desk, record):
    mask = np.full(desk.images.size(record), 99, np.int32)
    with pytest.raises(TagmaskError, match=r"expected -1\.\."):
        desk.keep(record, Change(decision="corrected"), mask)
    with pytest.raises(TagmaskError, match="no class"):
        desk.keep(record, Change(tags=("no such",)), None)
    assert desk.images.reviews.is_empty
