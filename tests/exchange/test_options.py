from typing import get_args

from tagmask.exchange.options import FormatName, Which


def test_the_words_are_those_of_the_pages():
    assert set(get_args(Which)) == {"masks", "revised", "predictions", "reviews"}
    assert len(get_args(FormatName)) == 7
