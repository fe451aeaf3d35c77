"""Back-off with full jitter."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattbook.retry import Backoff, Retrying


@given(st.integers(0, 10**6), st.integers())
def test_a_delay_is_between_nothing_and_its_cap(failures: int, seed: int) -> None:
    backoff = Backoff(first_s=0.1, most_s=10.0)

    delay_s = backoff.delay_s(failures, random.Random(seed))

    assert 0.0 <= delay_s <= backoff.cap_s(failures) <= 10.0


def test_the_cap_doubles_up_to_the_most() -> None:
    backoff = Backoff(first_s=1.0, most_s=10.0)

    assert [backoff.cap_s(failures) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_the_same_seed_gives_the_same_delays() -> None:
    one, other = (Retrying(Backoff(), rng=random.Random(7)) for _ in range(2))

    assert [one.failed() for _ in range(5)] == [other.failed() for _ in range(5)]


def test_success_begins_again_with_short_waits() -> None:
    retrying = Retrying(Backoff(first_s=1.0, most_s=64.0), rng=random.Random(1))
    for _ in range(20):
        retrying.failed()

    retrying.worked()

    assert retrying.failures == 0
    assert retrying.failed() <= 1.0


def test_many_waiters_do_not_come_back_together() -> None:
    delays = [Retrying(Backoff(first_s=1.0)).failed() for _ in range(200)]

    assert sum(delays) / len(delays) == pytest.approx(0.5, abs=0.15)
