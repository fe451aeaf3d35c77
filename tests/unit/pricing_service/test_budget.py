"""The count of requests, which must never be lower than the provider's."""

from __future__ import annotations

import math
from collections import deque
from random import Random

import pytest
from pricing_service.domain import Limits, Spent

LIMITS = Limits(per_minute=5, per_hour=20, minute_reserve=1, hour_reserve=3)


def spent(*instants: float, limits: Limits = LIMITS) -> Spent:
    return Spent(limits, dict(enumerate(instants)))


def test_a_request_counts_for_a_minute_and_a_margin() -> None:
    used = spent(100.0)

    assert used.minute_left(100.0) == 4
    assert used.minute_left(161.9) == 4
    assert used.minute_left(162.1) == 5
    assert used.hour_left(162.1) == 19
    assert used.hour_left(3705.1) == 20


def test_a_request_on_its_way_counts_from_when_it_may_arrive_at_last() -> None:
    used = spent(111.0)

    assert used.minute_left(100.0) == 4
    assert used.minute_left(172.9) == 4

    used.settle(0, 101.0)

    assert used.minute_left(163.1) == 5, "its answer came at 101"


def test_settling_later_than_thought_or_twice_changes_nothing() -> None:
    used = spent(111.0)
    used.settle(0, 200.0)
    used.settle(7, 50.0)

    assert used.minute_left(172.9) == 4
    assert used.minute_left(173.1) == 5


def test_the_reserves_are_left_where_told() -> None:
    used = spent(*[100.0] * 4)

    assert (used.left(110.0), used.left(110.0, keep=True)) == (1, 0)


def test_free_at_says_when_so_many_may_be_sent() -> None:
    used = spent(100.0, 101.0, 102.0, 103.0)

    assert used.free_at(110.0, 1) == 110.0
    assert used.free_at(110.0, 2) == pytest.approx(162.0)
    assert used.free_at(110.0, 5) == pytest.approx(165.0)
    assert used.free_at(110.0, 1, keep_minute=True) == pytest.approx(162.0)
    assert used.free_at(110.0, 6) == math.inf
    for count in range(1, 6):
        at = used.free_at(110.0, count)
        assert used.left(at) >= count
        assert at == 110.0 or used.left(at - 0.001) < count


def test_setting_the_clock_leaves_everything_as_long_ago_as_it_was() -> None:
    used = spent(100.0, 130.0)
    used.shift(-3600.0)

    assert used.minute_left(161.9 - 3600) == 3
    assert used.minute_left(162.1 - 3600) == 4


def test_what_is_forgotten_no_longer_counted() -> None:
    used = spent(100.0, 4000.0)
    used.forget(4000.0)
    used.settle(0, 50.0)
    used.settle(1, 3990.0)

    assert used.hour_left(4000.0) == 19


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_network_does_the_provider_never_counts_more_than_its_limits(seed: int) -> None:
    """As greedy as can be, against every window of the provider's; requests arrive late and out of order."""
    rng = Random(seed)
    used = Spent(LIMITS)
    arrivals: list[float] = []
    flying: list[tuple[float, int, float]] = []
    now, number = 0.0, 0
    while now < 8000.0:
        now = max(now + rng.uniform(0.0, 0.5), used.free_at(now, 1) if rng.random() < 0.5 else now)
        for back_s, which, _ in [each for each in flying if each[0] <= now]:
            used.settle(which, back_s)
        flying = [each for each in flying if each[0] > now]
        while used.left(now):
            arrived_s = now + rng.uniform(0.0, 10.0)
            used.add(number, now + 11.0)
            arrivals.append(arrived_s)
            flying.append((arrived_s + rng.uniform(0.0, 0.5), number, now))
            number += 1

    for span_s, limit in ((60.0, LIMITS.per_minute), (3600.0, LIMITS.per_hour)):
        window: deque[float] = deque()
        for arrived_s in sorted(arrivals):
            window.append(arrived_s)
            while window[0] <= arrived_s - span_s:
                window.popleft()
            assert len(window) <= limit
    assert len(arrivals) > 2 * LIMITS.per_hour
