import asyncio
import threading

import numpy as np
import pytest

from tagmask.errors import TagmaskError
from tagmask.serving.server.limits import Limits
from tagmask.serving.server.mask_queue import MaskQueue
from tagmask.serving.server.refusals import RefusedError


def picture(columns, value=0):
    return np.full((2, columns, 3), value, np.uint8)


class Network:
    """Remembers what it was given; a picture of value 1 fails, and whatever is computed beside it."""

    def __init__(self, error=None):
        self.calls, self.threads, self.error, self.go = [], set(), error, threading.Event()
        self.go.set()

    def __call__(self, images):
        self.go.wait(5)
        self.calls.append([image.shape[1] for image in images])
        self.threads.add(threading.current_thread())
        if any(image[0, 0, 0] == 1 for image in images):
            raise self.error
        return [np.full(image.shape[:2], image.shape[1], np.int32) for image in images]


def results(network, pictures, batch=1, seconds=5.0, during=None):
    """What becomes of pictures that come at once."""

    async def scenario():
        queue = MaskQueue(network, batch, Limits(gather_seconds=0.01, queue_seconds=seconds))
        work = asyncio.create_task(queue.work())
        deadline = asyncio.get_running_loop().time() + seconds
        jobs = [asyncio.create_task(queue.mask_of(each, deadline)) for each in pictures]
        if during is not None:
            await during(queue, jobs)
        found = await asyncio.gather(*jobs, return_exceptions=True)
        work.cancel()
        queue.close()
        assert len(queue) == 0
        return found

    return asyncio.run(scenario())


def test_each_gets_its_own_mask_from_one_thread():
    network = Network()
    found = results(network, [picture(n) for n in (3, 4, 5, 3)])
    assert [mask.tolist() for mask in found] == [[[n] * n] * 2 for n in (3, 4, 5, 3)]
    assert network.calls == [[3], [4], [5], [3]]
    assert len(network.threads) == 1
    assert threading.current_thread() not in network.threads


def test_those_of_one_size_go_together_in_the_order_in_which_they_came():
    network = Network()
    found = results(network, [picture(n) for n in (3, 4, 3, 4, 3, 3)], batch=3)
    assert network.calls == [[3, 3, 3], [4, 4], [3]]
    assert [mask.shape[1] for mask in found] == [3, 4, 3, 4, 3, 3]


@pytest.mark.parametrize("batch", [1, 4])
def test_one_that_fails_does_not_take_others_with_it(batch):
    found = results(Network(KeyError("x")), [picture(3), picture(3, 1), picture(3)], batch)
    assert [type(each).__name__ for each in found] == ["ndarray", "KeyError", "ndarray"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(MemoryError(), 413), (RuntimeError("CUDA out of memory"), 413), (TagmaskError("four bands"), 422)],
)
def test_faults_of_a_photograph_are_told(error, status):
    [found] = results(Network(error), [picture(3, 1)])
    assert isinstance(found, RefusedError)
    assert found.status == status


def test_who_waits_too_long_is_told_in_time_and_not_computed():
    network = Network()
    network.go.clear()

    async def during(queue, jobs):
        await asyncio.wait(jobs[1:])  # the first is being computed, whatever time that takes
        assert not jobs[0].done()
        network.go.set()

    found = results(network, [picture(3), picture(4), picture(5)], seconds=0.05, during=during)
    assert found[0].shape == (2, 3)
    assert [each.status for each in found[1:]] == [503, 503]
    assert network.calls == [[3]]


def test_one_whose_client_was_cut_off_is_not_computed():
    network = Network()
    network.go.clear()

    async def during(queue, jobs):
        await asyncio.sleep(0.03)
        assert len(queue) == 2
        jobs[1].cancel()
        await asyncio.sleep(0.01)
        network.go.set()

    found = results(network, [picture(3), picture(4), picture(5)], during=during)
    assert isinstance(found[1], asyncio.CancelledError)
    assert network.calls == [[3], [5]]


def test_how_long_it_will_take_is_told_from_what_it_took():
    queue = MaskQueue(Network(), 1, Limits())
    assert queue.seconds_for(30) == 1  # nothing is known yet
    queue.seconds_each = 0.3
    assert [queue.seconds_for(n) for n in (0, 1, 10, 1000)] == [1, 1, 3, 60]
