from tagmask.report.content import Tag, tags_of


def test_tags_have_the_mask_values_of_their_classes() -> None:
    assert tags_of((2, 0), ("cat", "cow", "dog")) == (Tag("dog", 3), Tag("cat", 1))
    assert tags_of((), ("cat",)) == ()
