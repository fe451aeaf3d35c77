"""The lock whose waiters are served in turn."""

from __future__ import annotations

import threading

import pytest
from wattbook.errors import Unavailable
from wattbook.locks import FairLock

from tests.support.waiting import wait_until


def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    lock = FairLock("it", timeout_s=10.0)
    served: list[int] = []

    def take(number: int) -> None:
        with lock.held():
            served.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(20)]
    with lock.held():
        for count, thread in enumerate(threads, start=1):
            thread.start()
            wait_until(
                lambda n=count: len(lock._waiting) == n, timeout_s=5, what="the waiter queues", every_s=0.001
            )
    for thread in threads:
        thread.join(5)

    assert served == list(range(20))


def test_only_one_is_inside_at_a_time() -> None:
    lock = FairLock("it", timeout_s=10.0)
    inside = counted = 0

    def work() -> None:
        nonlocal inside, counted
        for _ in range(300):
            with lock.held():
                inside += 1
                assert inside == 1
                counted += 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert counted == 2400


def test_a_wait_is_bounded_and_leaves_nothing_behind() -> None:
    lock = FairLock("the store x", timeout_s=0.05)
    refused: list[Exception] = []

    def take() -> None:
        try:
            with lock.held():
                pass
        except Unavailable as error:
            refused.append(error)

    with lock.held():
        thread = threading.Thread(target=take)
        thread.start()
        thread.join(5)
    with lock.held():
        pass  # free again

    assert [str(error) for error in refused] == ["the store x is busy; try again"]


def test_asking_twice_is_a_fault_and_not_a_deadlock() -> None:
    lock = FairLock("it", timeout_s=10.0)

    with lock.held(), pytest.raises(RuntimeError, match="already held by this thread"), lock.held():
        pass


def test_an_error_inside_frees_it() -> None:
    lock = FairLock("it", timeout_s=0.1)

    with pytest.raises(ZeroDivisionError), lock.held():
        raise ZeroDivisionError

    with lock.held():
        pass
