from tagmask.errors import TagmaskError
from tagmask.serving.server.refusals import RefusedError, too_large, too_late


def test_a_refusal_says_what_arrived_what_was_expected_and_what_to_do():
    refusal = too_large("9 pixels", "4")
    assert (refusal.status, refusal.headers) == (413, [])
    assert str(refusal) == "the photograph has 9 pixels, expected at most 4; make it smaller"
    assert isinstance(refusal, TagmaskError)


def test_what_may_succeed_later_says_when():
    assert RefusedError(429, "full", 7).headers == [(b"retry-after", b"7")]
    assert too_late(0.5).sentence.startswith("the photograph has waited for 0.5 s")
    assert too_late(0.5).headers == [(b"retry-after", b"5")]
