"""A confirmed trade, as a websocket frame and as a row of the nightly file (contracts, sections 3 and 2)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from wattbook.clock import from_epoch_s
from wattbook.periods import DeliveryPeriod
from wattbook.units import mw_from_kw

from sandbox.chance import mixed
from sandbox.market.figures import euro_text, mw_text
from sandbox.market.hours import label_of

FILE_HEADER = "id,price,quantity,direction,delivery_day,delivery_hour,trader_id,execution_time"
ENVELOPES = ("trade_confirmation", "deal_confirmation")
ENVELOPE_STYLES = (*ENVELOPES, "mixed")
TIME_STYLES = ("z", "offset", "mixed")
FRACTION_DIGITS = (0, 3, 6)
_US_PER_S = 1_000_000


@dataclass(slots=True)
class Trade:
    """One of our trades as the exchange knows it. Numbered by ``seq`` from 1 in the order of matching."""

    seq: int
    id: str
    price_ct: int
    quantity_kw: int
    direction: str
    hour: DeliveryPeriod
    trader_id: str
    executed_us: int  # since 1970, cut to the digits that the exchange shows


@dataclass(frozen=True, slots=True)
class FrameStyle:
    """How frames are written: which envelope, which end of a time, how many decimals of a second."""

    envelope: str = "trade_confirmation"
    time: str = "z"
    fraction_digits: int = 0

    def cut_us(self, epoch_us: int) -> int:
        """An instant as precisely as this style shows it, so that feed and file tell the same."""
        step = 10 ** (6 - self.fraction_digits)
        return epoch_us // step * step

    def frame(self, trade: Trade) -> str:
        """The text of a trade's frame."""
        chance = mixed(trade.seq)
        envelope = ENVELOPES[chance & 1] if self.envelope == "mixed" else self.envelope
        with_offset = bool(chance & 2) if self.time == "mixed" else self.time == "offset"
        day, _, label = _labels(trade.hour)
        executed = _instant(trade.executed_us, self.fraction_digits) + ("+00:00" if with_offset else "Z")
        return (
            f'{{"{envelope}": {{"id": {_quoted(trade.id)}, "price": {euro_text(trade.price_ct)}, '
            f'"quantity": {mw_text(trade.quantity_kw)}, "direction": "{trade.direction}", '
            f'"delivery_day": "{day}", "delivery_hour": "{label}", '
            f'"trader_id": {_quoted(trade.trader_id)}, "execution_time": "{executed}"}}}}'
        )

    def file_row(self, trade: Trade) -> str:
        """A trade's line in the nightly file, without its end."""
        day, hour, _ = _labels(trade.hour)
        executed = _instant(trade.executed_us, self.fraction_digits)
        return (
            f"{trade.id},{trade.price_ct},{mw_from_kw(trade.quantity_kw)},{trade.direction},"
            f"{day},{hour},{trade.trader_id},{executed}Z"
        )


def file_text(rows: Iterable[str], *, final_newline: bool) -> str:
    """The whole nightly file of some rows."""
    text = "\n".join((FILE_HEADER, *rows))
    return text + "\n" if final_newline else text


def is_whole_row(text: str) -> bool:
    """Whether a line is a row, and not one that was cut off while it was written."""
    return text.count(",") == FILE_HEADER.count(",") and text.endswith("Z")


def file_name(day: date) -> str:
    """The nightly file's name, after the day whose trades it holds."""
    return f"epex_trades_{day:%Y%m%d}.csv"


def shown(trade: Trade) -> dict[str, object]:
    """A trade in the fields of the trades API, for the control endpoint; with the hour's start."""
    day, hour, _ = _labels(trade.hour)
    mw = mw_from_kw(trade.quantity_kw)
    return {
        "id": trade.id,
        "price": trade.price_ct,
        "quantity": int(mw) if mw == int(mw) else float(mw),
        "direction": trade.direction,
        "delivery_day": day,
        "delivery_hour": hour,
        "trader_id": trade.trader_id,
        "execution_time": f"{_instant(trade.executed_us, 6 if trade.executed_us % _US_PER_S else 0)}Z",
        "delivery_start": f"{trade.hour.start:%Y-%m-%dT%H:%M:%SZ}",
    }


@lru_cache(maxsize=256)
def _labels(hour: DeliveryPeriod) -> tuple[str, int, str]:
    return hour.delivery_day.isoformat(), hour.delivery_hour, label_of(hour)


@lru_cache(maxsize=1024)
def _quoted(text: str) -> str:
    return json.dumps(text)


@lru_cache(maxsize=64)
def _second(epoch_s: int) -> str:
    return f"{from_epoch_s(epoch_s):%Y-%m-%dT%H:%M:%S}"


def _instant(epoch_us: int, digits: int) -> str:
    second, us = divmod(epoch_us, _US_PER_S)
    if not digits:
        return _second(second)
    return f"{_second(second)}.{us:06d}"[: 20 + digits]
