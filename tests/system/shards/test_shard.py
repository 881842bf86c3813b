"""Which images one of many processes does."""

import os
from pathlib import Path

import pytest

from tagmask.errors import TagmaskError
from tagmask.system.shards import shard
from tagmask.system.shards.claims import claimed
from tagmask.system.shards.shard import EveryNth, WhatIsFree, shard_named


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_have_every_item_once_and_as_many_as_each_other(count):
    shares = [
        list(part) for number in range(1, count + 1) for part in EveryNth(number, count).parts("abcde", Path(), "")
    ]
    assert sorted(item for share in shares for item in share) == list("abcde")
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_chunks_are_those_that_nobody_has_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(shard, "CHUNK", 2)
    with claimed(tmp_path / "maps-2-of-3.json", "another's"):
        assert list(WhatIsFree().parts("abcde", tmp_path, "maps")) == ["ab", "e"]
    assert list(WhatIsFree().parts("abcde", tmp_path, "maps")) == ["ab", "cd", "e"]
    assert list(tmp_path.iterdir()) == []


def test_a_chunk_is_claimed_until_the_next_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(shard, "CHUNK", 3)
    parts, others = WhatIsFree().parts("abcde", tmp_path, "maps"), WhatIsFree().parts("abcde", tmp_path, "maps")
    assert next(parts) == "abc"
    assert next(others) == "de"
    assert list(parts) == []


def test_names():
    assert (str(shard_named("2/3")), shard_named("2/3").name) == ("2/3", "2-of-3")
    assert str(shard_named("auto")) == "auto"
    assert shard_named("auto").name.endswith(f"-{os.getpid()}")


@pytest.mark.parametrize("text", ["3", "a/b", "1/2/3", "-1/3", "1.0/2", "", "Auto", "\u0661/\u0662"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(TagmaskError, match=r"--shard must be I/N, such as 2/3, or auto; got '"):
        shard_named(text)


@pytest.mark.parametrize(("text", "words"), [("0/3", "1/3 to 3/3"), ("4/3", "1/3 to 3/3"), ("0/0", "1/1 to 1/1")])
def test_a_shard_that_does_not_exist_is_refused_with_those_that_do(text, words):
    with pytest.raises(TagmaskError, match=rf"--shard {text}: shards are counted from 1.* {words}"):
        shard_named(text)
