"""The provider misbehaves: prices stay on the dashboards, and it is never asked more often than it allows.

One desk with its sandbox, 120 times as fast as real time: a cycle of ten minutes takes five seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.live_desk import LiveDesk, running
from tests.support.live_faults import SETTINGS, assert_booked_as_heard, assert_dashboards_agree, assert_whole
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.flow("Reference price"), pytest.mark.timeout(240)]
DAY = "2026-03-10"
CLOCK = ("--clock-start", f"{DAY}T06:05:00+01:00", "--clock-speed", "120")
MIXED = {
    "WATTBOOK_SANDBOX_MARKET_DATA_UNIT": "mixed",
    "WATTBOOK_SANDBOX_MARKET_DATA_TIME_STYLE": "mixed",
    "WATTBOOK_SANDBOX_MARKET_DATA_NO_PRICE": "mixed",
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    """A desk with trades in every tradable hour, all of whose prices are there."""
    desk = LiveDesk(tmp_path_factory.mktemp("prices"), "--sandbox", *CLOCK, environment={**SETTINGS, **MIXED})
    with running(desk):
        desk.wait_listeners(1)
        desk.emit(500)
        wait_until(lambda: fresh(desk), timeout_s=60, what="every hour has its price")
        assert_whole(desk)
        yield desk


@pytest.fixture(autouse=True)
def mended(live: LiveDesk) -> Iterator[None]:
    """No fault is left to the next test, and what this one did came right again."""
    yield
    live.provider_faults()
    wait_until(lambda: fresh(live), timeout_s=90, what="every hour has its newest price again")
    wait_until(lambda: not status(live)["trouble"], timeout_s=30, what="there is no trouble any more")
    assert_whole(live)
    assert priced_hours(live) > 0


def status(live: LiveDesk) -> Any:
    return live.get("/v1/feed")["prices"]


def fresh(live: LiveDesk) -> bool:
    found = status(live)
    return bool(0 < found["periods_fresh"] == found["periods_tradable"])


def known(live: LiveDesk) -> dict[str, tuple[str, Decimal]]:
    """Every price by the start of its hour: when the provider made it, and the value."""
    days = (DAY, (date.fromisoformat(DAY) + timedelta(days=1)).isoformat())
    found = [price for day in days for price in live.get("/v1/reference-prices", delivery_day=day)["prices"]]
    return {price["delivery_start"]: (price["last_update"], price["value_eur_per_mwh"]) for price in found}


def priced_hours(live: LiveDesk) -> int:
    report = live.get("/v1/reports/performance", trader_id="trader_1", delivery_day=DAY)
    return sum(hour["light"] != "grey" for hour in report["hours"])


def cycles_out(live: LiveDesk) -> int:
    return len(live.provider("stats")["publications"])


@dataclass(frozen=True)
class Endured:
    """The prices before a fault, and at its end."""

    before: dict[str, tuple[str, Decimal]]
    after: dict[str, tuple[str, Decimal]]

    @property
    def newest(self) -> tuple[str, str]:
        """The last instant that the provider stamped, before and after."""
        return max(each[0] for each in self.before.values()), max(each[0] for each in self.after.values())


def endure(live: LiveDesk, *, cycles: int, trouble: str = "", **faults: Any) -> Endured:
    """Let so many publications go by with these faults, until the ``trouble`` is told.

    Prices and lights must be there all the time.
    """
    live.provider_faults(**faults)
    # Only then: a publication that came just before the fault may still be on its way to us.
    wait_until(lambda: trouble in (status(live)["trouble"] or ""), timeout_s=60, what=f"it tells {trouble!r}")
    before, lights = known(live), priced_hours(live)
    goal = cycles_out(live) + cycles
    wait_until(lambda: cycles_out(live) >= goal, timeout_s=90, what="publications go by", most_s=0.2)
    wait_until(lambda: trouble in (status(live)["trouble"] or ""), timeout_s=60, what=f"it tells {trouble!r}")
    endured = Endured(before, known(live))
    assert endured.after.keys() >= before.keys(), "a price went blank"
    assert priced_hours(live) >= lights, "a light went out"
    assert_dashboards_agree(live, assert_booked_as_heard(live))
    return endured


def test_a_provider_that_is_down_for_twenty_minutes_blanks_nothing(live: LiveDesk) -> None:
    endured = endure(live, cycles=2, trouble="503", fail_rate=1.0, fail_status=503)

    assert endured.after == endured.before


def test_storms_of_429_spend_no_request_too_many(live: LiveDesk) -> None:
    endured = endure(live, cycles=2, fail_rate=0.5, fail_status=429)

    assert live.provider("stats")["requests"]["by_status"]["429"] > 0
    assert endured.newest[1] >= endured.newest[0]


def test_a_wrong_unit_is_no_price(live: LiveDesk) -> None:
    endured = endure(live, cycles=1, trouble="unit", wrong_unit="ct/kwh")

    stamps = {stamp for stamp, _ in endured.after.values()}
    assert stamps <= {stamp for stamp, _ in endured.before.values()}


def test_a_price_that_is_null_and_then_there_again_is_never_blank(live: LiveDesk) -> None:
    endured = endure(live, cycles=1, null_rate=1.0)
    live.provider_faults()

    wait_until(
        lambda: max(stamp for stamp, _ in known(live).values()) > endured.newest[0],
        timeout_s=60, what="newer prices are there",
    )  # fmt: skip


def test_garbage_and_broken_answers_become_no_prices(live: LiveDesk) -> None:
    endured = endure(live, cycles=1, garbage_rate=0.5, break_rate=0.2)

    assert all(abs(value) < 10_000 for _, value in endured.after.values())


@pytest.mark.parametrize("skew_s", [60.0, -60.0])
def test_a_provider_whose_clock_is_a_minute_off_is_understood(live: LiveDesk, skew_s: float) -> None:
    endured = endure(live, cycles=2, skew_s=skew_s)

    assert endured.newest[1] > endured.newest[0]
