import pytest

from tagmask.doctor.tags.judge import Judge


@pytest.mark.parametrize("missing", ["check", "doubts"])
def test_a_judge_says_whether_it_can_and_what_it_doubts(missing):
    answers = {"check": lambda self: None, "doubts": lambda *_: ((), ())}
    assert isinstance(type("Whole", (Judge,), answers)(), Judge)
    del answers[missing]
    with pytest.raises(TypeError, match=missing):
        type("Half", (Judge,), answers)()
