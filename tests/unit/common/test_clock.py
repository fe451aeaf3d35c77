"""Clocks that tell another time than the machine's, and the settings that ask for one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from gateway.app import Settings as GatewaySettings
from ingest_service.app import Settings as IngestSettings
from pricing_service.app import Settings as PricingSettings
from report_service.app import Settings as ReportSettings
from trade_service.app import Settings as TradeSettings
from wattbook.clock import DeskClock, FakeClock, SimulatedClock, SystemClock
from wattbook.clock_settings import ClockSettings
from wattbook.settings import SettingsError, load

START = datetime(2023, 2, 6, 9, 0, tzinfo=UTC)
TICK = timedelta(seconds=2)  # what a busy machine may take between two lines


def test_without_settings_it_is_the_machines_time() -> None:
    clock = SimulatedClock()

    assert abs(clock.now() - datetime.now(UTC)) < TICK
    assert clock.now().tzinfo is UTC


def test_it_begins_where_it_is_told() -> None:
    assert timedelta(0) <= SimulatedClock(start=START).now() - START < TICK


def test_it_runs_as_fast_as_it_is_told() -> None:
    began_s = time.monotonic()
    clock = SimulatedClock(start=START, speed=100_000)
    made_s = time.monotonic()

    simulated_s, elapsed_s = clock.monotonic_s(), (clock.now() - START).total_seconds()

    assert simulated_s <= elapsed_s
    assert elapsed_s <= (time.monotonic() - began_s) * 100_000
    assert clock.monotonic_s() >= (time.monotonic() - made_s - 1) * 100_000
    assert clock.real_s(200_000) == 2
    assert timedelta(seconds=8) <= clock.after(10) - clock.now() <= timedelta(seconds=10)


def test_clocks_with_one_anchor_agree_whenever_they_are_made() -> None:
    anchor = datetime.now(UTC) - timedelta(hours=1)
    settings: dict[str, Any] = {"start": START, "speed": 24, "anchor": anchor}

    first, second = SimulatedClock(**settings), SimulatedClock(**settings)

    assert abs(first.now() - second.now()) < 24 * TICK
    assert timedelta(0) <= first.now() - (START + timedelta(hours=24)) < 24 * TICK


@pytest.mark.parametrize(
    "settings",
    [{"speed": 0}, {"speed": float("nan")}, {"speed": float("inf")}, {"start": START.replace(tzinfo=None)}],
)
def test_an_impossible_clock_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="clock"):
        SimulatedClock(**settings)


def test_a_desk_tells_the_worlds_time_and_waits_in_real_seconds() -> None:
    desk = DeskClock(SimulatedClock(start=START, speed=100_000))
    before_s = time.monotonic()

    assert START <= desk.now() < START + timedelta(days=3)
    assert before_s <= desk.monotonic_s() <= time.monotonic()
    earliest = desk.now() + timedelta(seconds=200_000)
    assert earliest <= desk.after(2) <= desk.now() + timedelta(seconds=200_000)


def test_a_browser_can_tell_the_same_time_from_a_desks_course() -> None:
    anchor = datetime.now(UTC) - timedelta(seconds=10)
    desk = DeskClock(SimulatedClock(start=START, speed=60, anchor=anchor))

    real_ms, shown_ms, speed = map(float, desk.course.split())
    told_ms = shown_ms + (time.time() * 1000 - real_ms) * speed

    assert abs(told_ms / 1000 - desk.now().timestamp()) < 60 * TICK.total_seconds()
    assert told_ms / 1000 >= (START + timedelta(seconds=600)).timestamp() - 1


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock(START), SimulatedClock()])
def test_a_wait_ends_as_far_from_now_as_it_lasts(clock: SystemClock | FakeClock | SimulatedClock) -> None:
    marks = [clock.now() + timedelta(seconds=30), clock.after(30), clock.now() + timedelta(seconds=30)]

    assert all(earlier <= later for earlier, later in pairwise(marks))


def test_settings_that_name_no_clock_mean_the_machines() -> None:
    settings = load(ClockSettings, {})

    assert isinstance(settings.world_clock(), SystemClock)
    assert isinstance(settings.desk_clock(), SystemClock)


def test_processes_told_the_same_show_the_same_time() -> None:
    told = {
        "WATTBOOK_CLOCK_START": "2023-02-06T10:00:00+01:00",
        "WATTBOOK_CLOCK_SPEED": "24",
        "WATTBOOK_CLOCK_ANCHOR": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
    }
    settings = load(ClockSettings, told)

    for clock in (settings.world_clock(), settings.desk_clock(), settings.simulated_clock()):
        assert timedelta(0) <= clock.now() - (START + timedelta(hours=24)) < 24 * TICK


COMPLETE = {
    GatewaySettings: {"WATTBOOK_GATEWAY_STORE_URL": "sqlite:///x", "WATTBOOK_SIGNING_KEY_FILE": "key.pem"},
    TradeSettings: {"WATTBOOK_TRADE_STORE_URL": "sqlite:///x"},
    IngestSettings: {
        "WATTBOOK_INGEST_STORE_URL": "sqlite:///x", "WATTBOOK_INBOX": "x",
        "WATTBOOK_INGEST_CLIENT_SECRET": "x",
    },
    PricingSettings: {
        "WATTBOOK_PRICING_STORE_URL": "sqlite:///x", "WATTBOOK_MARKET_DATA_URL": "http://provider"
    },
    ReportSettings: {"WATTBOOK_SESSION_KEY": "a long enough session key"},
}  # fmt: skip


@pytest.mark.parametrize("kind", COMPLETE)
@pytest.mark.parametrize(
    "wrong",
    [
        {"WATTBOOK_CLOCK_START": "2023-02-06"},
        {"WATTBOOK_CLOCK_START": "9999-12-31T23:00:00Z"},
        {"WATTBOOK_CLOCK_START": "0001-01-01T00:00:00+14:00"},
        {"WATTBOOK_CLOCK_ANCHOR": "yesterday"},
        {"WATTBOOK_CLOCK_SPEED": "-1"},
    ],
)
def test_an_impossible_clock_stops_the_start_of_every_service(kind: type[Any], wrong: dict[str, str]) -> None:
    complete = {"WATTBOOK_BUS_URL": "sqlite:///bus", **COMPLETE[kind]}
    load(kind, complete)

    with pytest.raises(SettingsError, match="WATTBOOK_CLOCK_START, _SPEED, _ANCHOR"):
        load(kind, {**complete, **wrong})
