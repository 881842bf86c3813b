import functools
import os
import threading
import time

import numpy as np
import pytest
import torch

from tagmask.errors import TagmaskError
from tagmask.system import workers as workers_module
from tagmask.system.workers import available_cores, behind, in_order, several_at_once


def described(item):
    return np.full(2, item), os.getpid()


def picky(item, error=TagmaskError):
    if item == 2:
        raise error("the file 2 is damaged; remove it")
    return item


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_the_items_order_and_as_they_are(workers):
    results = list(in_order(described, [3, 1, 2, 1], workers))
    assert [array.tolist() for array, _ in results] == [[3, 3], [1, 1], [2, 2], [1, 1]]
    assert all(isinstance(array, np.ndarray) for array, _ in results)
    assert (os.getpid() in {process for _, process in results}) == (workers == 0)
    assert len({process for _, process in results}) == max(1, min(workers, available_cores()))


def test_there_are_no_more_processes_than_cores(monkeypatch):
    monkeypatch.setattr(workers_module, "available_cores", lambda: 1)
    assert len({process for _, process in in_order(described, [3, 1, 2, 1], 2)}) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_to_do_is_done_at_once(workers):
    assert list(in_order(described, [], workers)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_for_people_arrive_as_raised_in_their_items_turn(workers):
    results = in_order(picky, [0, 1, 2, 3], workers)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(TagmaskError) as caught:
        next(results)
    assert str(caught.value) == "the file 2 is damaged; remove it"


@pytest.mark.parametrize("workers", [0, 1])
def test_other_errors_keep_their_kind(workers):
    with pytest.raises(KeyError, match="the file 2"):
        list(in_order(functools.partial(picky, error=KeyError), [2], workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_random_numbers_of_the_caller_are_left_alone(workers):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    list(in_order(described, [1, 2], workers))
    assert torch.equal(torch.rand(1), expected)


def test_threads_look_at_many_items_in_order(monkeypatch):
    monkeypatch.setattr(workers_module, "_AT_ONCE", 7)
    assert several_at_once(lambda number: number * number, range(20)) == [number * number for number in range(20)]
    assert several_at_once(str, iter(())) == []


# ── behind the caller ────────────────────────────────────────────────────────────────────────────────────────────────


def test_pieces_are_done_in_order_by_another_thread_before_the_block_ends():
    done = []
    with behind(limit=3) as put:
        for number in range(20):
            put(lambda n=number: done.append((n, threading.get_ident())))
    assert [number for number, _ in done] == [*range(20)]
    assert {thread for _, thread in done}.isdisjoint({threading.get_ident()})


def test_the_caller_waits_once_enough_pieces_wait():
    go_on, begun = threading.Event(), []
    with behind(limit=2) as put:
        put(go_on.wait)
        put(begun.append, 1)
        third = threading.Thread(target=put, args=(begun.append, 2))
        third.start()
        third.join(0.2)
        assert third.is_alive()
        go_on.set()
        third.join()
    assert begun == [1, 2]


@pytest.mark.parametrize("more", [0, 5])
def test_what_a_piece_raises_reaches_the_caller(more):
    def work():
        with behind() as put:
            for item in (1, 2, *[3] * more):
                put(picky, item)

    with pytest.raises(TagmaskError, match="the file 2 is damaged"):
        work()


def test_an_error_of_the_caller_is_its_own_and_only_the_piece_at_work_is_done_before_it_goes_on():
    at_work, go_on, done = threading.Event(), threading.Event(), []

    def piece(name):
        at_work.set()
        go_on.wait()
        done.append(name)

    def work():
        with behind(limit=3) as put:
            for name in "abc":
                put(piece, name)
            at_work.wait()
            threading.Timer(0.1, go_on.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert done == ["a"]


def test_after_an_error_of_a_piece_those_that_wait_are_dropped():
    slept = []

    def work():
        with behind(limit=100) as put:
            put(picky, 2)
            for number in range(60):
                put(lambda n=number: (time.sleep(0.05), slept.append(n)))

    with pytest.raises(TagmaskError, match="the file 2"):
        work()
    assert len(slept) < 40
