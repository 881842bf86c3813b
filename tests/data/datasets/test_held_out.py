import pytest

from tagmask.contracts import Record
from tagmask.data.datasets.held_out import hold_out, share_of


def records(count: int, tags=lambda place: (place % 2,)) -> list[Record]:
    return [Record(f"p{place}", tags(place), "train") for place in range(count)]


def held(found: list[Record]) -> set[str]:
    return {record.id for record in found if record.split == "val"}


def test_about_a_share_is_held_out_and_the_order_stays():
    given = records(400)
    found = hold_out(given, "val", 0.25)
    assert [record.id for record in found] == [record.id for record in given]
    assert 70 <= len(held(found)) <= 130
    assert held(hold_out(given, None, 0.25)) == held(hold_out(given, "val", 0)) == set()


def test_it_does_not_change_when_images_are_added():
    assert held(hold_out(records(400), "val", 0.25)) == held(hold_out(records(800), "val", 0.25)) & {
        f"p{place}" for place in range(400)
    }


@pytest.mark.parametrize("fraction", [0.5, 0.99])
def test_the_last_training_image_of_a_class_stays(fraction):
    found = hold_out(records(40, tags=lambda place: (place % 8, 8) if place % 8 else (0,)), "val", fraction)
    left = {tag for record in found if record.split == "train" for tag in record.tags}
    assert left == set(range(9))


def test_shares_are_spread_evenly_and_names_may_be_anything():
    shares = [share_of(str(number)) for number in range(1000)]
    assert 0 <= min(shares) < 0.01
    assert 0.99 < max(shares) < 1
    assert 0 <= share_of("\udcff") < 1
