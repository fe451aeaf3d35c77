"""Answers from what is kept, and wishes for what to fetch first. Nothing here calls the provider."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime

from wattbook.clock import Clock, from_epoch_s, to_epoch_us
from wattbook.periods import NoSuchPeriod, area_of, day_bounds, hour_starting

from pricing_service.domain import (
    AREA,
    KnownPrice,
    Limits,
    Spent,
    Status,
    cycle_start_s,
    hour_start_s,
    same_cycle,
    window_starts_s,
)
from pricing_service.store import Facts, PriceStore, Wishes


@dataclass(frozen=True, slots=True)
class Ages:
    """Of some hours: the age of the oldest newest price, and how many lack one of the newest cycle."""

    oldest_s: float | None
    missing: int


STILL_MATTERS_S = 3 * 3600.0  # after gate closure the last price may be missing
_US = 1_000_000


def day(store: PriceStore, *, area: str, delivery_day: date) -> tuple[int, list[KnownPrice]]:
    """The last ``price_seq``, and the newest price of every hour of a local day that has one.

    Raises:
        NoSuchPeriod: unknown area, or a day out of range.
    """
    code = area_of(area).code
    start, end = day_bounds(code, delivery_day)
    last_seq, found = store.day(from_s=_seconds(start), before_s=_seconds(end))
    return last_seq, found if code == AREA else []


def history(store: PriceStore, *, area: str, start_s: int, minutes: int) -> list[KnownPrice]:
    """Every value that one period ever had, oldest first.

    Raises:
        NoSuchPeriod: unknown area.
    """
    return store.history(start_s=start_s, minutes=minutes) if area_of(area).code == AREA else []


def watch(wishes: Wishes, clock: Clock, *, area: str, starts_s: Iterable[int], for_s: float) -> None:
    """Fetch these hours before others for a while.

    Raises:
        NoSuchPeriod: unknown area, or no hour starts then.
    """
    if area_of(area).code != AREA:
        return  # it has no reference price
    hours = {_seconds(_hour_starting(start)) for start in starts_s}
    now_s = to_epoch_us(clock.now()) / _US
    wishes.watched([start for start in hours if start > now_s], until_s=now_s + for_s)


def learn_traded(wishes: Wishes, clock: Clock, *, periods: Iterable[tuple[str, int]]) -> None:
    """The hours of these (area, start) are wanted from now on, as far as their prices may still change."""
    since_s = to_epoch_us(clock.now()) / _US - STILL_MATTERS_S
    hours = {hour_start_s(start) for area, start in periods if area == AREA}
    wishes.traded(start for start in hours if start > since_s)


def status(store: PriceStore, clock: Clock, *, limits: Limits) -> Status:
    """How the poller is doing, whichever replica it is."""
    now_s = to_epoch_us(clock.now()) / _US
    tradable = window_starts_s(now_s)
    facts = store.facts(now_s=now_s, starts_s=tradable)
    spent = Spent(limits, facts.spent)
    return Status(
        minute_budget_left=spent.minute_left(now_s),
        hour_budget_left=spent.hour_left(now_s),
        cycle_start_s=cycle_start_s(facts.newest_us) if facts.newest_us else 0,
        hours_tradable=len(tradable),
        hours_fresh=sum(same_cycle(stamp, facts.newest_us) for stamp in facts.stamps_us.values()),
        health=facts.health,
    )


def ages(store: PriceStore, wishes: Wishes, clock: Clock) -> dict[str, Ages]:
    """How old the prices of tradable hours are: of those that are ``wanted``, and of all ``tradable``."""
    now_s = to_epoch_us(clock.now()) / _US
    tradable = window_starts_s(now_s)
    facts = store.facts(now_s=now_s, starts_s=tradable)
    wanted = set(wishes.wanted(now_s=now_s)).intersection(tradable)
    return {
        name: _ages(facts, starts, now_s)
        for name, starts in (("wanted", wanted), ("tradable", tradable))
        if starts
    }


def _ages(facts: Facts, starts: Collection[int], now_s: float) -> Ages:
    stamps = [facts.stamps_us[start] for start in starts if start in facts.stamps_us]
    fresh = sum(same_cycle(stamp, facts.newest_us) for stamp in stamps)
    return Ages(now_s - min(stamps) / _US if stamps else None, len(starts) - fresh)


def _hour_starting(start_s: int) -> datetime:
    try:
        return hour_starting(AREA, from_epoch_s(start_s)).start
    except OverflowError:
        raise NoSuchPeriod(f"{start_s} is out of range") from None


def _seconds(instant: datetime) -> int:
    return to_epoch_us(instant) // _US
