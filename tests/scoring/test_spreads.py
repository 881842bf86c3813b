import pytest

from tagmask.scoring.spreads import Spread, spread, spreads


def test_one_value_has_no_deviation_and_none_no_mean():
    assert spread([0.5]) == Spread(count=1, mean=0.5, deviation=None)
    assert spread([None]) is None
    assert spread([]) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0], 12.7062 * 0.7071 / 2**0.5),
        ([1.0, 2.0, 3.0], 4.3027 / 3**0.5),  # quantiles of Student's t with 1, 2 and 4 degrees of freedom
        ([1.0, 2.0, 3.0, 4.0, 5.0], 2.7764 * 2.5**0.5 / 5**0.5),
    ],
)
def test_the_reach_is_that_of_students_t(values, expected):
    assert spread(values).reach == pytest.approx(expected, rel=1e-4)


def test_one_value_tells_nothing_of_the_true_mean():
    assert spread([0.5]).reach is None


def test_equal_values_leave_no_doubt():
    assert spread([0.5, 0.5, 0.5]).reach == 0


def test_names_without_values_are_left_out():
    assert spreads({"a": [1.0, None], "b": [None]}) == {"a": Spread(count=1, mean=1.0, deviation=None)}
