import pytest

from doctor.invented import census
from tagmask.doctor.class_findings import FEW, TOO_FEW, class_findings, rare_classes

SEPARATE = [(0,)] * 60 + [(1,)] * 60
ENOUGH = [(0,)] * 10 + [(1,)] * 10


def found(classes, training, validation=()):
    return {each.key: each for each in class_findings(census(classes, training, validation))}


def test_nothing_is_said_of_enough_images_of_separate_classes():
    assert found(["cat", "dog"], SEPARATE, ENOUGH) == {}


@pytest.mark.parametrize(
    ("number", "key"),
    [(TOO_FEW - 1, "classes-too-few"), (TOO_FEW, "classes-few"), (FEW - 1, "classes-few"), (FEW, None)],
)
def test_few_images_of_a_class_are_told_with_their_number(number, key):
    said = found(["cat", "dog", "cow"], [*SEPARATE, *[(2,)] * number], [*ENOUGH, (2,)])
    assert list(said) == ([key] if key else [])
    if key:
        assert said[key].about == ("cow",)
        assert f"cow ({number})" in said[key].what
        assert said[key].severity == "warn"


def test_one_or_two_images_beside_many_are_a_slip_of_the_pen():
    training = [*SEPARATE, (2,), (2,)]
    assert rare_classes(census(["cat", "dog", "newt"], training)) == [2]
    said = found(["cat", "dog", "newt"], training, [*ENOUGH, (2,)])
    assert list(said) == ["classes-rare"]
    assert "newt (2)" in said["classes-rare"].what
    assert rare_classes(census(["cat", "dog"], [(0,)] * 3 + [(1,)])) == []


def test_misspelt_classes_are_named_with_what_they_may_mean():
    said = found(["cat", "horse", "hosre"], [(0,)] * 60 + [(1,)] * 60 + [(2,)] * 3, [*ENOUGH, (2,)])
    assert list(said) == ["classes-alike"]
    assert said["classes-alike"].about == ("hosre", "horse")
    assert said["classes-alike"].severity == "warn"
    both = found(["cat", "horse", "house"], [(0,)] * 60 + [(1,)] * 60 + [(2,)] * 60, [*ENOUGH, (2,)])
    assert both["classes-alike"].severity == "note"


def test_a_slip_of_the_pen_is_not_asked_to_be_validated():
    training = [(0,)] * 1200 + [(1,)] * 60 + [(2,)] + [(3,)] * 60
    said = found(["horse", "cat", "hosre", "cow"], training, ENOUGH)
    assert said["classes-not-validated"].about == ("cow",)
    assert "'hosre' (1) and 'horse' (1,200)" in said["classes-alike"].what


def test_classes_that_never_part_are_said_by_name():
    training = [(0, 1)] * 57 + [(0,)] * 3 + [(1,)] * 3 + [(2,)] * 60
    said = found(["ship", "sea", "cat"], training, [*ENOUGH, (2,)])
    assert list(said) == ["classes-together"]
    assert "'ship' and 'sea' appear together on 57 of the 63" in said["classes-together"].what
    assert said["classes-together"].about == ("ship", "sea")
    parted = [(0, 1)] * 56 + [(0,)] * 4 + [(1,)] * 4 + [(2,)] * 60
    assert found(["ship", "sea", "cat"], parted, [*ENOUGH, (2,)]) == {}


def test_a_class_within_another_is_a_note():
    said = found(["saddle", "horse", "cat"], [(0, 1)] * 60 + [(1,)] * 60 + [(2,)] * 60, [*ENOUGH, (2,)])
    assert {key: each.about for key, each in said.items()} == {"class-within-class": ("saddle", "horse")}


def test_a_class_on_every_image_has_nothing_to_be_told_from():
    said = found(["cat", "dog"], [(0,)] * 60 + [(0, 1)] * 60, ENOUGH)
    assert list(said) == ["class-everywhere"]
    assert "'cat' is on 120 of 120" in said["class-everywhere"].what
    assert list(found(["cat"], [(0,)] * 96 + [()] * 4, [(0,)] * 20)) == ["class-everywhere", "images-without-tags"]
    assert list(found(["cat"], [(0,)] * 90 + [()] * 10, [(0,)] * 20)) == ["images-without-tags"]


def test_imbalance_is_told_with_both_numbers():
    said = found(["cat", "dog"], [(0,)] * 500 + [(1,)] * 50, ENOUGH)
    assert "10 times" in said["classes-unbalanced"].what
    assert "(500 and 50)" in said["classes-unbalanced"].what
    assert found(["cat", "dog"], [(0,)] * 499 + [(1,)] * 50, ENOUGH) == {}


def test_what_cannot_be_measured_is_told():
    assert list(found(["cat", "dog"], SEPARATE)) == ["no-validation-images"]
    assert list(found(["cat", "dog"], SEPARATE, ENOUGH[1:])) == ["few-validation-images"]
    said = found(["cat", "dog"], SEPARATE, [(0,)] * 20)
    assert {key: each.about for key, each in said.items()} == {"classes-not-validated": ("dog",)}


def test_images_without_tags_are_counted():
    assert "30 of 150" in found(["cat", "dog"], [*SEPARATE, *[()] * 30], ENOUGH)["images-without-tags"].what
