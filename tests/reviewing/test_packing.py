import gzip

import numpy as np
import pytest

from tagmask.conventions import IGNORE
from tagmask.errors import TagmaskError
from tagmask.reviewing.packing import pack, squeezed, unpack, unsqueezed

MASK = np.array([[0, 1, 300], [IGNORE, 65534, 7]], np.int32)


def test_numbers_arrive_as_they_were_sent():
    packed = pack(MASK)
    assert packed[:8] == bytes([2, 0, 0, 0, 3, 0, 0, 0])
    assert packed[8 + 2 * 3 :][:2] == b"\xff\xff"
    assert np.array_equal(unpack(packed, (2, 3)), MASK)


@pytest.mark.parametrize("content", [b"", pack(MASK)[:-1], pack(MASK) + b"0", pack(MASK.T), b"x" * 20])
def test_another_size_is_refused(content):
    with pytest.raises(TagmaskError, match=r"2 x 3 rows x columns.*reload the page"):
        unpack(content, (2, 3))


def test_gzip_is_undone_but_never_further_than_allowed():
    content = b"0" * 10_000
    assert unsqueezed(squeezed(content), 10_000) == content
    assert unsqueezed(gzip.compress(content), 10_000) == content
    with pytest.raises(TagmaskError, match="at most 9999 bytes"):
        unsqueezed(squeezed(content), 9999)


@pytest.mark.parametrize("content", [b"", b"no gzip", squeezed(b"0" * 999)[:-4]])
def test_what_is_no_whole_gzip_is_refused(content):
    with pytest.raises(TagmaskError, match="reload the page"):
        unsqueezed(content, 999)
