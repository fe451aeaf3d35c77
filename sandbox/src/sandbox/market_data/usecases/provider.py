"""The provider as a whole: one request, one answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from wattbook.clock import iso_z
from wattbook.periods import DeliveryPeriod, NoSuchPeriod

from sandbox.market.figures import euro_text
from sandbox.market.hours import hours_named, local_day
from sandbox.market.prices import Market
from sandbox.market_data.domain.faults import Faults, garbage
from sandbox.market_data.domain.prices import AnswerStyle, Price, Schedule, price_of
from sandbox.market_data.usecases.limits import Asked, Limits, RequestLog
from sandbox.market_data.usecases.publications import Publications

_OLDEST = timedelta(days=31)  # of a price that is still told
_LONGEST_SHOWN = 40
PATH = "/reference-price"


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What a provider is like."""

    seed: int
    style: AnswerStyle
    schedule: Schedule
    per_minute: int = 50
    per_hour: int = 1000
    first_trade_within_min: int = 180
    paths: tuple[str, ...] = (PATH, f"/v1{PATH}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a status, a text, how late (in real seconds), and whether it breaks off half-way."""

    status: int
    text: str
    note: str = ""
    late_real_s: float = 0.0
    broken: bool = False


class Provider:
    """Prices, limits, faults."""

    def __init__(self, options: ProviderOptions, *, now: datetime) -> None:
        """Open at ``now``."""
        self._options = options
        self._style = options.style
        self._market = Market(seed=options.seed, first_trade_within_min=options.first_trade_within_min)
        self._random = Random(options.seed ^ 0xDA7A)  # noqa: S311  # a simulation must be repeatable
        self._began = now
        self._stale_cycle: int | None = None
        self.publications = Publications(options.schedule, now=now)
        self.limits = Limits(per_minute=options.per_minute, per_hour=options.per_hour)
        self.requests = RequestLog()
        self.faults = Faults()

    def answer(self, path: str, query: Mapping[str, str], *, now: datetime, at_s: float) -> Answer:
        """One request at ``now``; ``at_s`` is the same moment on a clock that never jumps."""
        self.publications.advance(now)
        number = self.requests.total + 1
        if not self.limits.admit(at_s):
            answer = _refusal(429, "too many requests", note="over the limit")
        else:
            answer = self._admitted(path, query, now=now, number=number)
        day, hour = query.get("delivery_day", ""), query.get("delivery_hour", "")
        self.requests.add(
            Asked(number, now, path, day[:_LONGEST_SHOWN], hour[:_LONGEST_SHOWN], answer.status, answer.note)
        )
        return answer

    def prepare(self, now: datetime) -> None:
        """Do beforehand what would make the first answers late."""
        self._market.prepare(now)

    def set_faults(self, changes: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
        """Change some faults; all of them as they are then.

        Raises:
            InvalidInput: an unknown name or an impossible value.
        """
        self.faults = self.faults.changed(changes)
        self.publications.set_skew(timedelta(seconds=self.faults.skew_s), now=now)
        if not self.faults.stale:
            self._stale_cycle = None
        elif self._stale_cycle is None:
            self._stale_cycle = self.publications.cycle
        return self.faults.as_dict()

    def stats(self, *, now: datetime, at_s: float) -> dict[str, Any]:
        """Everything counted, and the publications since the provider began."""
        self.publications.advance(now)
        return {
            "now": now.isoformat(),
            "began": self._began.isoformat(),
            "seed": self._options.seed,
            "violations": self.limits.violations,
            "minute": self.limits.minute.as_dict(at_s),
            "hour": self.limits.hour.as_dict(at_s),
            "requests": self.requests.as_dict(),
            "publications": [
                {
                    "cycle": known.cycle_at.isoformat(),
                    "published_at": known.published_at.isoformat(),
                    "stamped": known.stamped.isoformat(),
                    "hours": len(self._options.schedule.hours_in(known.cycle)),
                }
                for known in self.publications.known
            ],
        }

    def _admitted(self, path: str, query: Mapping[str, str], *, now: datetime, number: int) -> Answer:
        faults = self.faults
        if self._happens(faults.fail_rate):
            return _refusal(faults.fail_status, "fault on demand", note="failed on demand")
        if path not in self._options.paths:
            return _refusal(404, f"there is nothing at {path[:_LONGEST_SHOWN]}")
        try:
            day, label, hours = _asked_for(query)
        except (NoSuchPeriod, ValueError) as error:
            return _refusal(400, str(error))
        answer = self._price_answer(day, label, hours, now=now, number=number)
        late_real_s = faults.slow_real_s if self._happens(faults.slow_rate) else 0.0
        broken = self._happens(faults.break_rate)
        note = "broken off" if broken else "slow" if late_real_s and not answer.note else answer.note
        return Answer(answer.status, answer.text, note, late_real_s, broken)

    def _price_answer(
        self, day: date, label: str, hours: tuple[DeliveryPeriod, ...], *, now: datetime, number: int
    ) -> Answer:
        price = self._price(day, hours, now=now)
        if self._happens(self.faults.garbage_rate):
            value = euro_text(price.value_ct_per_mwh if price else 0)
            kind, text = garbage(number, day=str(day), hour=label, value=value, time=iso_z(now))
            return Answer(200, text, f"garbage: {kind}")
        if price is None or self._happens(self.faults.missing_rate):
            return self._no_price(day, label, now=now, number=number)
        if self._happens(self.faults.null_rate):
            text = self._style.null_text(price.last_update, day=day, label=label, number=number)
            return Answer(200, text, "null on demand")
        unit = self.faults.wrong_unit
        return Answer(200, self._style.price_text(price, day=day, label=label, number=number, unit=unit))

    def _price(self, day: date, hours: tuple[DeliveryPeriod, ...], *, now: datetime) -> Price | None:
        if day < local_day(now - _OLDEST):
            return None
        cycle = self.publications.cycle if self._stale_cycle is None else self._stale_cycle
        return price_of(self._market, self._options.schedule, hours, cycle=cycle)

    def _no_price(self, day: date, label: str, *, now: datetime, number: int) -> Answer:
        how = self._style.no_price_style(number)
        if how == "404":
            return _refusal(404, f"no price yet for {day} {label}", note="no price yet")
        if how == "absent":
            return Answer(200, json.dumps({"delivery_day": str(day), "delivery_hour": label}), "no price yet")
        return Answer(200, self._style.null_text(now, day=day, label=label, number=number), "no price yet")

    def _happens(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate


def _asked_for(query: Mapping[str, str]) -> tuple[date, str, tuple[DeliveryPeriod, ...]]:
    """The hours that a request is about.

    Raises:
        ValueError: a parameter is missing or malformed.
        NoSuchPeriod: they name no hour.
    """
    missing = [name for name in ("delivery_day", "delivery_hour") if not query.get(name)]
    if missing:
        raise ValueError(f"missing parameter {', '.join(missing)}")
    text, label = query["delivery_day"], query["delivery_hour"]
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  # a day has no zone
    except ValueError:
        day = None
    if day is None or str(day) != text:
        raise ValueError(f"delivery_day: {text[:_LONGEST_SHOWN]!r} is no day")
    return day, label, hours_named(day, label[:_LONGEST_SHOWN])


def _refusal(status: int, message: str, *, note: str = "") -> Answer:
    return Answer(status, json.dumps({"error_message": message}), note)
