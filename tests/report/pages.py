"""Reads pages as a browser would, for the tests of this folder."""

from html.parser import HTMLParser

VOID = frozenset({"br", "img", "input", "meta"})


class Page(HTMLParser):
    """Checks that every element is closed in order; collects elements, addresses, captions and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.captions: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open
        self.words = " ".join(self.text.split(" ")).replace("\n", " ")

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "figcaption":
            self.captions.append("")
        if tag == "h2":
            self.titles.append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if "figcaption" in self.open:
            self.captions[-1] += data
        if "h2" in self.open:
            self.titles[-1] += data


def assert_whole(text: str) -> Page:
    """A page in one file: nothing is loaded, nothing is executed, pictures lie in the page, each of them once."""
    page = Page(text)
    for outside in ("http:", "https:", "url(", "@import", "javascript:"):
        assert outside not in text
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert not {"script", "link", "iframe", "object", "form"} & set(page.elements)
    assert not page.handlers
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert text.count("data:image/") == page.elements.count("img")
    return page
