import json

import numpy as np
import pytest

from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.reviews.store import Review, Reviews

MASK = np.array([[0, 1, 2], [2, IGNORE, 0]], np.int32)


@pytest.fixture
def reviews(tmp_path):
    return Reviews(tmp_path / "reviews", ("cat", "dog"), 255)


def test_what_was_said_is_read_again(reviews):
    reviews.write("a/1", Review(decision="corrected", tags=("dog",)), MASK)
    assert reviews.review("a/1") == Review(decision="corrected", tags=("dog",))
    assert np.array_equal(reviews.mask("a/1", (2, 3)), MASK)
    assert reviews.review("a/2") is None
    assert list(reviews.all(["a/2", "a/1"])) == ["a/1"]


def test_a_decision_may_change_and_keep_its_mask(reviews):
    reviews.write("1", Review(decision="corrected"), MASK)
    reviews.write("1", Review(decision="rejected"))
    reviews.write("1", Review(decision="corrected", tags=("cat", "dog")))
    assert np.array_equal(reviews.mask("1", (2, 3)), MASK)


def test_tags_alone_leave_the_decision_open(reviews):
    reviews.write("1", Review(tags=()))
    found = reviews.review("1")
    assert found is not None
    assert found.tags == ()
    assert not found.has_mask


def test_nothing_is_there_at_first_and_after_forgetting(reviews):
    assert reviews.is_empty
    assert reviews.all(["1"]) == {}
    reviews.write("1", Review(decision="rejected"))
    assert not reviews.is_empty
    reviews.remove("1")
    reviews.remove("1")
    assert reviews.is_empty


@pytest.mark.parametrize(
    ("review", "mask", "words"),
    [
        (Review(decision="accepted"), None, "there is no mask; give the mask as well"),
        (Review(decision="rejected"), MASK, "leave it out, or decide"),
        (Review(), MASK, "without decision"),
        (Review(tags=("cow",)), None, "'cow': no class; known: cat, dog"),
        (Review(decision="corrected"), MASK + 1, r"expected -1\.\.2"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(reviews, review, mask, words):
    reviews.write("1", Review(decision="rejected"))
    with pytest.raises(TagmaskError, match=words):
        reviews.write("1", review, mask)
    assert reviews.review("1") == Review(decision="rejected")


@pytest.mark.parametrize("content", [{"decision": "perhaps"}, {"who": "me"}, [], {"tags": ["cow"]}])
def test_a_file_of_something_else_is_refused(reviews, content):
    reviews.folder.mkdir()
    reviews.path("1").write_text(json.dumps(content))
    with pytest.raises(TagmaskError, match=r"delete it|no class"):
        reviews.review("1")


def test_a_mask_of_another_size_is_refused(reviews):
    reviews.write("1", Review(decision="accepted"), MASK)
    with pytest.raises(TagmaskError, match="2 x 3 rows x columns and its image 3 x 3"):
        reviews.mask("1", (3, 3))
