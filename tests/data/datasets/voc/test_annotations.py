import pytest

from tagmask.data.datasets.voc.annotations import Annotated, read_annotation
from tagmask.errors import TagmaskError


def annotation(*objects: str) -> str:
    return f"<annotation><filename>x</filename>{''.join(f'<object>{each}</object>' for each in objects)}</annotation>"


def written(folder, content: bytes):
    (folder / "a.xml").write_bytes(content)
    return folder / "a.xml"


def test_objects_with_their_names_and_whether_they_are_difficult(tmp_path):
    text = annotation(
        "<name> crack\n</name><part><name>edge</name></part>",
        "<name>rust</name><difficult>1</difficult>",
        "<name>rust</name><difficult>0</difficult>",
    )
    found = read_annotation(written(tmp_path, text.encode()))
    assert found == (Annotated("crack", False), Annotated("rust", True), Annotated("rust", False))


def test_no_file_and_no_objects_are_not_the_same(tmp_path):
    assert read_annotation(tmp_path / "a.xml") is None
    assert read_annotation(written(tmp_path, annotation().encode())) == ()


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "iso-8859-1", "utf-16"])
def test_any_encoding_that_is_declared_is_read(tmp_path, encoding):
    name = "rücken" if encoding == "iso-8859-1" else "猫"
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n{annotation(f"<name>{name}</name>")}'
    assert read_annotation(written(tmp_path, text.encode(encoding)))[0].name == name


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert read_annotation(written(tmp_path, annotation("<name>a</name>").encode("utf-8-sig")))[0].name == "a"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot read"),
        (b"<annotation>", "cannot read"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "klingon"),
        ("<annotation>ü</annotation>".encode("latin-1"), "cannot read"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'.encode("utf-16"), "document type"),
        (annotation("<difficult>1</difficult>").encode(), "without a name"),
        (annotation("<name> </name>").encode(), "without a name"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, content, words):
    with pytest.raises(TagmaskError, match=words) as raised:
        read_annotation(written(tmp_path, content))
    assert "a.xml" in str(raised.value)
