import asyncio

import pytest

from tagmask.serving.server.admission import Allowance, Door
from tagmask.serving.server.refusals import RefusedError


def test_so_many_get_in_and_no_more():
    door = Door(2)
    with door.entered(), door.entered():
        with (
            pytest.raises(RefusedError, match="2 photographs are in hand, expected fewer than 2") as caught,
            door.entered(7),
        ):
            pass
        assert (caught.value.status, caught.value.retry_after) == (429, 7)
        assert door.inside == 2
    assert door.inside == 0


def test_a_place_is_free_again_whatever_happens():
    door = Door(1)
    with pytest.raises(KeyError), door.entered():
        raise KeyError
    assert door.inside == 0


def test_a_door_that_closes_lets_nobody_in():
    door = Door(1)
    door.is_closing = True
    with pytest.raises(RefusedError, match="stopping") as caught, door.entered():
        pass
    assert caught.value.status == 503


async def hold(allowance, pixels, name, log, go, seconds=5.0):
    deadline = asyncio.get_running_loop().time() + seconds
    async with allowance.of(pixels, deadline, seconds):
        log.append(f"{name} in")
        await go.wait()
    log.append(f"{name} out")


async def steps(*asked):
    """Photographs that ask one after the other; the first gives way when all have asked."""
    allowance, log = Allowance(10), []
    events = [asyncio.Event() for _ in asked]
    tasks = []
    for (name, pixels), event in zip(asked, events, strict=True):
        tasks.append(asyncio.create_task(hold(allowance, pixels, name, log, event)))
        await asyncio.sleep(0.01)
    before = list(log)
    for event in events:
        event.set()
    await asyncio.gather(*tasks)
    assert allowance.taken == 0
    return before, [line for line in log if line.endswith("in")]


def test_pixels_are_given_as_far_as_they_go():
    before, log = asyncio.run(steps(("a", 6), ("b", 4), ("c", 1)))
    assert before == ["a in", "b in"]
    assert log == ["a in", "b in", "c in"]


def test_a_small_one_does_not_pass_a_large_one_that_waits():
    before, log = asyncio.run(steps(("a", 6), ("large", 5), ("small", 1)))
    assert before == ["a in"]
    assert log == ["a in", "large in", "small in"]


def test_one_that_is_larger_than_all_comes_in_alone():
    before, _ = asyncio.run(steps(("huge", 99), ("small", 1)))
    assert before == ["huge in"]


def test_who_has_waited_too_long_is_sent_away_and_others_are_not_held_up():
    async def scenario():
        allowance, log, go = Allowance(10), [], asyncio.Event()
        first = asyncio.create_task(hold(allowance, 10, "first", log, go))
        await asyncio.sleep(0.01)
        with pytest.raises(RefusedError, match=r"waited for 0\.02 s") as caught:
            await hold(allowance, 1, "second", log, go, 0.02)
        assert caught.value.status == 503
        go.set()
        await first
        await hold(allowance, 10, "third", log, go)
        return allowance.taken, log

    assert asyncio.run(scenario()) == (0, ["first in", "first out", "third in", "third out"])
