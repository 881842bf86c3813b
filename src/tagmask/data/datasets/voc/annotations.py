"""The XML annotations of PASCAL VOC: which objects an image shows."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tagmask.errors import TagmaskError

_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*encoding=["']([A-Za-z0-9._-]+)["']""")
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Annotated:
    """An object of an annotation: the name of its class, and whether it is marked as difficult."""

    name: str
    is_difficult: bool


def read_annotation(path: Path) -> tuple[Annotated, ...] | None:
    """The objects of an annotation file, without blanks around their names; None: there is no such file.

    Raises:
        TagmaskError: it cannot be read, is not XML, declares entities, or has an object without a name.
    """
    if not path.is_file():
        return None
    try:
        text = _decoded(path.read_bytes())
        if "<!" in text.replace("<!--", ""):  # declarations could define entities that expand without end
            raise TagmaskError(f"{path} declares a document type or entities; expected a plain VOC annotation")
        elements = list(ElementTree.fromstring(text).iterfind("object"))
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
        raise TagmaskError(f"cannot read the annotation {path}: {error}; replace it") from error
    found = tuple(Annotated((each.findtext("name") or "").strip(), _is_marked(each)) for each in elements)
    if not all(each.name for each in found):
        raise TagmaskError(f"{path} has an object without a name; name it or delete it")
    return found


def _is_marked(element: ElementTree.Element) -> bool:
    return (element.findtext("difficult") or "").strip().lower() in ("1", "true", "yes")


def _decoded(content: bytes) -> str:
    """The text in the encoding it declares, without its declaration."""
    mark = next((name for start, name in _MARKS.items() if content.startswith(start)), None)
    declared = _DECLARED.match(content)
    text = content.decode(mark or (declared[1].decode() if declared else "utf-8-sig")).removeprefix("\ufeff")
    return re.sub(r"^\s*<\?xml.*?\?>", "", text, count=1, flags=re.DOTALL)
