import pytest

from tagmask.config import TagNamesConfig
from tagmask.data.datasets.checks import Problems
from tagmask.data.datasets.tables import Row
from tagmask.data.datasets.tagged_rows import records_of, taught_everywhere, thin, with_class_names
from tagmask.data.orientation import Shape
from tagmask.errors import TagmaskError

ROWS = {"a": Row("a.jpg", ("Cat",), "train"), "b": Row("b.jpg", ("dog", "cat"), "val"), "c": Row("c.jpg", (), "train")}


def test_tags_become_classes_and_records(tmp_path):
    problems = Problems()
    config = TagNamesConfig(join_case=True)
    classes, rows, notes = with_class_names(dict(ROWS), None, tmp_path, config, problems)
    assert classes in (("cat", "dog"), ("Cat", "dog"))
    assert len(notes) == 1
    records, kept = records_of(rows, classes, {"b"}, config, problems)
    assert [(record.tags, record.split, record.has_mask) for record in records] == [
        ((0,), "train", False),
        ((0, 1), "val", True),
        ((), "train", False),
    ]
    assert kept == ()
    problems.raise_any(tmp_path)


def test_names_that_mean_nothing_are_told(tmp_path):
    with pytest.raises(TagmaskError, match="must name at least one class"):
        with_class_names({"c": ROWS["c"]}, None, tmp_path, TagNamesConfig(), Problems())
    problems = Problems()
    records_of(ROWS, ("cat",), set(), TagNamesConfig(), problems)
    with pytest.raises(TagmaskError, match=r"'Cat' at a\.jpg, 'dog' at b\.jpg"):
        problems.raise_any(tmp_path)


def test_a_class_keeps_an_image_for_training():
    rows = {str(n): Row(f"{n}.jpg", ("rare",) if n == 3 else ()) for n in range(30)}
    records, notes = records_of(rows, ("rare",), set(), TagNamesConfig(val_fraction=0.99), Problems())
    assert next(record.split for record in records if record.tags) == "train"
    assert notes == ("Classes whose images would all have been held out keep one for training: rare (3).",)


@pytest.mark.parametrize("val_split", [None, "train"])
def test_without_a_split_for_validation_nothing_is_held_out(val_split):
    rows = {str(n): Row(f"{n}.jpg", ("cat",)) for n in range(30)}
    config = TagNamesConfig(val_fraction=0.99, val_split=val_split)
    records, notes = records_of(rows, ("cat",), set(), config, Problems())
    assert {record.split for record in records} == {"train"}
    assert notes == ()


def test_what_teaches_little_is_remarked_upon():
    shapes = {"line": Shape((4, 200)), "fine": Shape((100, 200))}
    (remark,) = thin(shapes)
    assert remark.startswith("1 images are less than 16 pixels across")
    records, _ = records_of(ROWS, ("cat",), set(), TagNamesConfig(), Problems())
    assert list(taught_everywhere(records, ("cat",))) == []
    assert next(iter(taught_everywhere(records[1:2], ("cat",)))).startswith("Every training image has the tag cat")
