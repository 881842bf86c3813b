from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tagmask.report.markup import Markup, element, join


class Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_markup_is_not_escaped_again() -> None:
    assert join("<", Markup("<br>")) == "&lt;<br>"
    assert element("p", element("b", "&")) == "<p><b>&amp;</b></p>"


def test_void_elements_have_no_end() -> None:
    assert element("img", src="a", hidden=True, alt=None) == '<img src="a" hidden>'


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\x00"), max_size=30))
def test_any_text_arrives_as_text(text: str) -> None:
    parser = Texts()
    parser.feed(element("p", text, title=text))
    parser.close()
    assert (parser.tags, parser.text, parser.attributes) == (["p"], text, [("title", text)])
