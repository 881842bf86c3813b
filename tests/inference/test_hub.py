import pytest

from tagmask.errors import TagmaskError
from tagmask.inference.hub import fetched, is_address, parts_of


def test_an_address_is_told_from_a_path(tmp_path):
    assert is_address("hf://me/animals")
    assert not is_address("runs/hf")
    assert not is_address(tmp_path)


@pytest.mark.parametrize("address", ["hf://animals", "hf://me/animals@", "hf://me/animals?x", "hf://../../etc@main"])
def test_what_is_no_address_is_refused_before_anything_is_asked(address):
    with pytest.raises(TagmaskError, match="is no address of the Hub; expected hf://USER/NAME"):
        fetched(address)


def test_a_revision_may_be_a_branch_a_tag_or_a_commit():
    assert parts_of("hf://me/a-b.c@refs/pr/1") == ("me/a-b.c", "refs/pr/1")
