"""Trades to book, and the figures of a day worked out again without any of the product's code."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import count
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
FIELDS = (
    "id", "price", "quantity", "direction", "delivery_day", "delivery_hour", "trader_id", "execution_time",
)  # fmt: skip
HEADER = ",".join(FIELDS)
PUBLISHED_ROW = "t_123,120,12,sell,2023-02-28,14,trader_1,2023-02-28T11:12:35Z"

_number = count(1)


def unique(prefix: str = "t") -> str:
    """A name nobody used before."""
    return f"{prefix}_{uuid4().hex[:12]}"


def trade(**changes: Any) -> dict[str, Any]:
    """A valid trade of the contract's example, under an id of its own."""
    return {
        "id": f"{unique()}_{next(_number)}",
        "price": 12000,
        "quantity": 12,
        "direction": "sell",
        "delivery_day": "2023-02-28",
        "delivery_hour": 14,
        "trader_id": "trader_1",
        "execution_time": "2023-02-28T11:12:35Z",
        **changes,
    }


def random_trade(chooser: random.Random, *, trader_id: str, day: date, **changes: Any) -> dict[str, Any]:
    """A valid trade for any hour of ``day``; of a doubled hour it says which one, as often as not."""
    start = chooser.choice(hours_of(day))
    local = start.astimezone(BERLIN)
    doubled = [other for other in hours_of(day) if other.astimezone(BERLIN).hour == local.hour]
    tenths = chooser.randint(1, 2500)
    made = trade(
        price=chooser.randint(-50_000, 99_999),
        quantity=tenths // 10 if tenths % 10 == 0 else tenths / 10,
        direction=chooser.choice(("buy", "sell")),
        delivery_day=day.isoformat(),
        delivery_hour=local.hour,
        trader_id=trader_id,
        execution_time=f"{day - timedelta(days=1)}T10:{chooser.randint(0, 59):02d}:00Z",
    )
    if len(doubled) > 1 and chooser.random() < 0.7:
        made["delivery_start"] = _z(start)
    return {**made, **changes}


def as_ndjson(trades: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(trade) + "\n" for trade in trades)


def as_csv(trades: Iterable[dict[str, Any]], *, header: Sequence[str] = FIELDS, newline: str = "\n") -> str:
    """The nightly file's form."""
    lines = [",".join(header), *(",".join(str(trade[name]) for name in header) for trade in trades)]
    return newline.join(lines) + newline


def hours_of(day: date) -> list[datetime]:
    """The UTC starts of a German day's hours: 23, 24 or 25 of them."""
    start = datetime.combine(day, time.min, tzinfo=BERLIN).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time.min, tzinfo=BERLIN).astimezone(UTC)
    return [start + timedelta(hours=number) for number in range(int((end - start).total_seconds()) // 3600)]


@dataclass(frozen=True)
class Figures:
    """One row of the report as this module works it out."""

    start: datetime | None
    trades: int
    buy_mw: Decimal
    sell_mw: Decimal
    pnl_eur: Decimal


def figures_of_day(trades: Iterable[dict[str, Any]], day: date) -> tuple[list[Figures], Figures]:
    """Every hour of the day and its total, from served trades: PnL = sells minus buys, price times MWh."""
    of_hour: dict[datetime, list[dict[str, Any]]] = {start: [] for start in hours_of(day)}
    total: list[dict[str, Any]] = []
    for found in trades:
        if found["delivery_day"] == day.isoformat():
            of_hour[start_of(found, of_hour)].append(found)
            total.append(found)
    return [_figures(start, rows) for start, rows in of_hour.items()], _figures(None, total)


def report_figures(report: dict[str, Any]) -> tuple[list[Figures], Figures]:
    """The same figures out of ``GET /v1/reports/pnl``."""
    hours = [
        _read(row, datetime.fromisoformat(row["delivery_start"].replace("Z", "+00:00")))
        for row in report["hours"]
    ]
    return hours, _read(report["total"], None)


def _read(row: dict[str, Any], start: datetime | None) -> Figures:
    sums = (Decimal(str(row[name])) for name in ("buy_mw", "sell_mw", "pnl_eur"))
    return Figures(start, row["trades"], *sums)


def start_of(found: dict[str, Any], hours: Iterable[datetime]) -> datetime:
    """When the hour of a served trade begins; the first of a doubled one where it does not say."""
    if "delivery_start" in found:
        return datetime.fromisoformat(found["delivery_start"].replace("Z", "+00:00"))
    return next(start for start in hours if start.astimezone(BERLIN).hour == found["delivery_hour"])


def _figures(start: datetime | None, rows: Sequence[dict[str, Any]]) -> Figures:
    bought = [row for row in rows if row["direction"] == "buy"]
    sold = [row for row in rows if row["direction"] == "sell"]
    pnl_eur = (_value_ct(sold) - _value_ct(bought)) / 100
    return Figures(
        start,
        len(rows),
        sum((Decimal(str(row["quantity"])) for row in bought), Decimal(0)),
        sum((Decimal(str(row["quantity"])) for row in sold), Decimal(0)),
        pnl_eur.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN) + 0,
    )


def _value_ct(rows: Iterable[dict[str, Any]]) -> Decimal:
    return sum((Decimal(row["price"]) * Decimal(str(row["quantity"])) for row in rows), Decimal(0))


def _z(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
