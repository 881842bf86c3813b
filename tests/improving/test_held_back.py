import pytest

from tagmask.errors import TagmaskError
from tagmask.improving.held_back import held_back
from tagmask.reviews.store import Review

CORRECTED = Review(decision="corrected")


@pytest.mark.parametrize(
    ("number", "share", "held"), [(1, 0.5, 0), (2, 0.25, 1), (20, 0.25, 5), (4, 0.9, 3), (9, 0, 0)]
)
def test_a_share_is_held_back_and_some_are_left(number, share, held):
    reviews = {f"{i:02d}": CORRECTED for i in range(number)} | {"x": Review(decision="accepted")}
    found = held_back(reviews, share)
    assert len(set(found)) == held
    assert "x" not in found


def test_a_share_of_all_is_refused():
    with pytest.raises(TagmaskError, match=r"a share of 1\.0 of the corrected images"):
        held_back({}, 1.0)
