"""A hundred thousand trades a minute without growing lag, and how fast an outage of the bus is caught up."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

from bench.context import Context, Row, at_least, at_most, plain
from bench.machine import Spent
from tests.support import engines
from tests.support.live_desk import LiveDesk
from tests.support.waiting import wait_until

TRADES_PER_MIN = 100_000
CATCH_UP_TRADES = 100_000  # ten minutes at 10,000 a minute
GOAL_CATCH_UP_PER_S = 5_000
MOST_GROWTH_S = 1.0
CLOCK = ("--clock-start", "2026-03-10T08:01:00+01:00")


def run(context: Context) -> list[Row]:
    quick = context.sizes.seconds < 2
    with context.live(*CLOCK) as desk:
        return [
            *_sustained(desk, seconds=4 if quick else 60),
            *_caught_up(desk, trades=5_000 if quick else CATCH_UP_TRADES),
        ]


def _sustained(desk: LiveDesk, *, seconds: float) -> list[Row]:
    """Trade at the rate, and look how far the reports are behind what listeners were handed."""
    spent = Spent([desk.process(), *desk.family()])
    desk.exchange("POST", "rate", trades_per_min=TRADES_PER_MIN)
    began = time.perf_counter()
    behind: list[float] = []
    while (elapsed_s := time.perf_counter() - began) < seconds:
        time.sleep(0.25)  # a look four times a second
        heard = _heard(desk)
        behind.append((heard - _reported(desk)) / (TRADES_PER_MIN / 60))
    desk.exchange("POST", "pause")
    heard = _heard(desk)
    paused = time.perf_counter()
    wait_until(lambda: _reported(desk) == heard, timeout_s=300, what="all is reported", most_s=0.05)
    drained_s = time.perf_counter() - paused
    third = len(behind) // 3
    first, last = statistics.median(behind[:third]), statistics.median(behind[-third:])
    return [
        at_least(
            f"{elapsed_s:.0f} s at {TRADES_PER_MIN:,} trades/min: heard, booked and reported",
            heard / elapsed_s * 60, TRADES_PER_MIN * 0.98, "/min",
        ),
        at_most(
            "  growth of the lag, median of the last third less the first",
            last - first, MOST_GROWTH_S, "s", decimals=2,
        ),
        plain("  lag from the exchange to the report, p50", statistics.median(behind), "s", decimals=2),
        plain("  longest", max(behind), "s", decimals=2),
        plain("  after the last trade, until all is reported", drained_s, "s", decimals=2),
        Row("  processor time of each", spent.said()),
    ]  # fmt: skip


def _caught_up(desk: LiveDesk, *, trades: int) -> list[Row]:
    """What ten minutes bring while the bus is away, and how fast it reaches the reports afterwards."""
    before = _reported(desk)
    with engines.held(desk.bus_url):
        for _ in range(max(1, trades // 10_000)):
            desk.emit(min(trades, 10_000))
        wait_until(lambda: _waiting(desk, before + trades), timeout_s=300, what="all is heard", most_s=0.1)
        if _reported(desk) != before:
            raise RuntimeError("the bus was not away")
    began = time.perf_counter()
    looks = [(began, 0)]
    while looks[-1][1] < trades:
        time.sleep(0.05)
        looks.append((time.perf_counter(), _reported(desk) - before))
        if time.perf_counter() - began > 600:
            raise RuntimeError(f"only {looks[-1][1]} of {trades} trades were caught up")
    took_s = looks[-1][0] - began
    best = max(
        (after[1] - before[1]) / (after[0] - before[0])
        for before, after in pairwise(looks[::20] if len(looks) > 40 else looks)
    )
    return [
        at_least(
            f"catch-up of {trades:,} trades after an outage of the bus, until reported",
            trades / took_s, GOAL_CATCH_UP_PER_S, "/s",
        ),
        plain("  the best second", best, "/s"),
    ]  # fmt: skip


def _waiting(desk: LiveDesk, trades: int) -> bool:
    told = desk.get("/v1/feed")
    return bool(told["frames"] == trades and told["spool_depth"] == 0)


def _heard(desk: LiveDesk) -> int:
    return int(desk.exchange("GET", "stats")["heard"])


def _reported(desk: LiveDesk) -> int:
    """The trades that the reports have, of the two days that can be traded."""
    return sum(
        int(desk.get("/v1/reports/desk", delivery_day=day)["total"]["trades"])
        for day in ("2026-03-10", "2026-03-11")
    )
