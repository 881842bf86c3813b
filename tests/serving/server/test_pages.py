import re

from tagmask.serving.server import pages
from tagmask.serving.server.answers import class_list
from tagmask.serving.server.limits import Limits
from tagmask.serving.server.openapi import REFUSALS, description


def front(name="animals"):
    return pages.front_page(name, class_list(("cat", "<b>dog</b>")), Limits())


def test_names_are_escaped():
    text = front("<script>alert(1)</script>")
    assert "&lt;b&gt;dog&lt;/b&gt;" in text
    assert "<script>alert" not in text


def test_the_front_page_says_what_may_be_sent():
    assert "At most 32 MB and 50 megapixels" in front()


def test_the_interface_shows_every_answer():
    text = pages.interface_page(description("1", Limits()))
    for status, words in REFUSALS.items():
        assert f"<td>{status}</td><td>{words}</td>" in text
    assert "?format=png|rle|overlay" in text


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs_in_the_page_itself():
    for text in (front(), pages.interface_page(description("1", Limits()))):
        sources = re.findall(r"(?:src|href)=\"([^\"]*)\"", text)
        assert sources
        assert all(re.match(r"/[^/]|/$|data:,$", source) for source in sources)
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", text)  # what the security policy would stop
    assert "http" not in pages.script() + pages.style()
