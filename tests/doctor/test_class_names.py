import itertools

import pytest

from tagmask.doctor.class_names import Alike, alike, edit_distance


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("", "abc", 3), ("horse", "horse", 0), ("horse", "house", 1), ("hosre", "horse", 1), ("ca", "abc", 3),
     ("motorcycle", "motorcyle", 1), ("motorcycle", "mortorcyle", 2)],
)  # fmt: skip
def test_letters_are_changed_added_left_out_or_swapped(first, second, distance):
    assert edit_distance(first, second) == edit_distance(second, first) == distance


def test_a_rare_name_a_letter_away_from_a_common_one_is_most_likely_a_slip():
    assert alike(["cat", "horse", "hosre"], [40, 50, 12]) == [Alike(2, 1, True)]
    assert alike(["cat", "horse", "hosre"], [40, 50, 13]) == [Alike(2, 1, False)]


def test_short_names_are_told_only_if_one_is_rare():
    assert alike(["cat", "car"], [40, 50]) == []
    assert alike(["cat", "car"], [2, 50]) == [Alike(0, 1, True)]
    assert alike(["a", "b", "ox", "ax"], [1, 50, 1, 50]) == []


def test_long_names_may_differ_by_two_letters():
    assert alike(["motorcycle", "mortorcyle"], [50, 1]) == [Alike(1, 0, True)]
    assert alike(["horse", "mouse"], [50, 1]) == []


@pytest.mark.parametrize("names", [("Road sign", "road_sign"), ("crack", "cracks")])
def test_case_blanks_and_endings_make_no_other_class(names):
    assert alike(names, [9, 90]) == [Alike(0, 1, True)]


def test_numbers_tell_classes_apart():
    assert alike(["type 1", "type 2", "type 12"], [50, 1, 1]) == []


def test_many_names_take_no_time_and_miss_nothing():
    names = ["".join(letters) for letters in itertools.product("abcd", repeat=5)]
    found = {(pair.rarer, pair.commoner) for pair in alike(names, [1] * len(names))}
    assert len(found) > 1000
    wanted = {
        pair for pair in itertools.combinations(range(100), 2) if edit_distance(names[pair[0]], names[pair[1]]) == 1
    }
    assert wanted <= {tuple(sorted(pair)) for pair in found}
