"""How an hour's price moves: the shape of a day, a walk away from it, and what the whole market traded at it.

Everything follows from (seed, hour, minute), so that two processes with one seed watch one market without
talking to each other. Prices in eurocent/MWh, volumes in kW, turnovers in eurocent·kW/MWh; integers all.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from wattbook.periods import DeliveryPeriod
from wattbook.units import PRICE_MAX_CT_PER_MWH, PRICE_MIN_CT_PER_MWH

from sandbox.chance import bell, between
from sandbox.market.hours import opening, tradable_hours

# A working day without sun, hour by hour: cheap nights, a morning and an evening peak.
_SHAPE_CT = (
    7200, 6800, 6500, 6400, 6600, 7600, 9800, 12400, 13200, 12100, 11000, 10200,
    9700, 9500, 9900, 10800, 12300, 14600, 15800, 15200, 12800, 10600, 9100, 7900,
)  # fmt: skip
# What full sun takes off; a bright Sunday goes well below zero.
_SUN_CT = (
    0, 0, 0, 0, 0, 200, 900, 2300, 4400, 6800, 8900, 10400,
    11200, 11300, 10600, 9000, 6700, 4100, 1900, 500, 0, 0, 0, 0,
)  # fmt: skip
_WEEKEND_OFF_CT = (0, 0, 0, 0, 0, 1400, 2600)
_STEP_CT = 45  # of a minute's walk
_MINUTE = timedelta(minutes=1)

# What a number is drawn for, so that no two draws share their chance.
_FOR_SUN, _FOR_DAY, _FOR_HOUR, _FOR_STEP, _FOR_VOLUME, _FOR_PRINT, _FOR_FIRST = range(1, 8)


class HourMarket:
    """One hour's market from its opening to its gate closure, computed as far as somebody asked."""

    def __init__(self, *, seed: int, hour: DeliveryPeriod, first_trade_within_min: int = 180) -> None:
        """Be the market of ``hour``; its first trade happens within some minutes of its opening."""
        self.hour = hour
        self._seed = seed
        self._key = int(hour.start.timestamp())
        self._opening = opening(hour)
        self._base_ct = _day_ahead_ct(seed, hour)
        self._last_minute = (hour.start - self._opening) // _MINUTE
        self._first_traded = between(0, first_trade_within_min, seed, _FOR_FIRST, self._key)
        self._mids_ct = [self._base_ct]
        self._volumes_kw = [0]
        self._turnovers = [0]

    def mid_ct(self, at: datetime) -> int:
        """The price about which buyers and sellers gather at ``at``."""
        since = at - self._opening
        minute = self._minute_of(at)
        self._walk_to(minute + 1)
        here, there = self._mids_ct[minute], self._mids_ct[minute + 1]
        within_us = min(max((since - minute * _MINUTE) // timedelta(microseconds=1), 0), 60_000_000)
        return _in_range(here + (there - here) * within_us // 60_000_000)

    def traded(self, at: datetime) -> tuple[int, int]:
        """Volume and turnover of the whole market up to ``at``; (0, 0) before the first trade."""
        minute = self._minute_of(at)
        self._walk_to(minute)
        return self._volumes_kw[minute], self._turnovers[minute]

    def _minute_of(self, at: datetime) -> int:
        return min(max((at - self._opening) // _MINUTE, 0), self._last_minute)

    def _walk_to(self, minute: int) -> None:
        for step in range(len(self._mids_ct), minute + 1):
            mid = self._mids_ct[-1]
            pull = (self._base_ct - mid) // 400  # a walk that never came home would leave the price range
            mid = _in_range(mid + pull + bell(_STEP_CT, self._seed, _FOR_STEP, self._key, step))
            volume, turnover = self._minute_trades(step, mid)
            self._mids_ct.append(mid)
            self._volumes_kw.append(self._volumes_kw[-1] + volume)
            self._turnovers.append(self._turnovers[-1] + turnover)

    def _minute_trades(self, step: int, mid_ct: int) -> tuple[int, int]:
        if step <= self._first_traded:
            return 0, 0
        nearness = 1 + 40 * 60 // (60 + self._last_minute - step)  # most is traded near the end
        volume_kw = 100 * between(1, 60 * nearness, self._seed, _FOR_VOLUME, self._key, step)
        price_ct = _in_range(mid_ct + bell(60, self._seed, _FOR_PRINT, self._key, step))
        return volume_kw, volume_kw * price_ct


class Market:
    """All hours of one seed."""

    def __init__(self, *, seed: int, first_trade_within_min: int = 180) -> None:
        """Be the market of ``seed``."""
        self.seed = seed
        self._first_trade_within_min = first_trade_within_min
        self._hours: dict[datetime, HourMarket] = {}

    def of(self, hour: DeliveryPeriod) -> HourMarket:
        """The market of one hour."""
        found = self._hours.get(hour.start)
        if found is None:
            found = HourMarket(seed=self.seed, hour=hour, first_trade_within_min=self._first_trade_within_min)
            self._hours[hour.start] = found
            self._forget()
        return found

    def prepare(self, at: datetime) -> None:
        """Compute all that is tradable at ``at``, so that nobody waits for it later."""
        for hour in tradable_hours(at):
            self.of(hour).mid_ct(at)

    def _forget(self, *, most: int = 200) -> None:
        """Keep the hours asked for last; a forgotten one is computed again, to the same figures."""
        while len(self._hours) > most:
            del self._hours[next(iter(self._hours))]


def _day_ahead_ct(seed: int, hour: DeliveryPeriod) -> int:
    day = hour.delivery_day
    sun_percent = max(0, between(-20, 130, seed, _FOR_SUN, day.toordinal()))
    level_ct = bell(1500, seed, _FOR_DAY, day.toordinal())
    own_ct = bell(300, seed, _FOR_HOUR, int(hour.start.timestamp()))
    weekend_ct = _WEEKEND_OFF_CT[day.weekday()]
    sun_ct = _SUN_CT[hour.delivery_hour] * sun_percent // 100
    return _SHAPE_CT[hour.delivery_hour] + level_ct + own_ct - weekend_ct - sun_ct


def _in_range(price_ct: int) -> int:
    return min(max(price_ct, PRICE_MIN_CT_PER_MWH), PRICE_MAX_CT_PER_MWH)
