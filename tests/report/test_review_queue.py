import pytest

from tagmask.data.images import read_mask
from tagmask.report import review_queue as module
from tagmask.report.review_queue import review_queue, reviewed_share
from tagmask.reviews.store import Review


@pytest.fixture
def ranked(run_copy, monkeypatch):
    """A run whose masks are trusted the more the later their images come."""
    monkeypatch.setattr(module, "_SHOWN", 2)
    ids = [record.id for record in run_copy.training_records]
    run_copy.folder.quality.write_text("image,quality\n" + "".join(f"{name},0.{i}\n" for i, name in enumerate(ids, 1)))
    return run_copy


def ids(cards):
    return [card.id for card in cards]


def test_the_worst_masks_come_first(ranked):
    names = [record.id for record in ranked.training_records]
    shown = review_queue(ranked)
    assert ids(shown.lowest) == names[:2]
    assert ids(shown.highest) == names[:-3:-1]
    assert shown.command == f"tagmask review {ranked.folder.path}"


def test_each_class_has_its_worst_and_its_best(ranked):
    for number, found in enumerate(review_queue(ranked).of_classes):
        having = [record.id for record in ranked.training_records if number in record.tags]
        assert found.name == ranked.dataset.classes[number]
        assert found.number == len(having)
        assert ids(found.lowest) == having[: len(having) // 2]
        assert ids(found.highest) == having[::-1][: len(having) // 2]


def test_what_has_been_looked_at_is_counted(ranked):
    assert reviewed_share(ranked) == "Nobody has looked at them yet."
    first, second, third, _ = (record.id for record in ranked.training_records)
    ranked.reviews.write(first, Review(decision="rejected"))
    ranked.reviews.write(second, Review(decision="accepted"), read_mask(ranked.folder.mask(second), 255))
    ranked.reviews.write(third, Review(tags=()))  # open
    assert reviewed_share(ranked) == "2 of 4 have been looked at: 1 accepted, 1 rejected."


def test_without_masks_there_is_no_queue(run_copy):
    run_copy.folder.forget("make-masks")
    assert review_queue(run_copy) is None
