"""Trades to load, made quickly and the same every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

TRADERS = 200
DAYS = ("2023-02-20", "2023-02-21")  # intraday trades are for the same day or the next
HEADER = "id,price,quantity,direction,delivery_day,delivery_hour,trader_id,execution_time"


@dataclass(frozen=True)
class Loaded:
    """A nightly file, and the product's folder it is for."""

    folder: Path
    file: Path
    rows: int
    last_trader: str
    last_day: str
    last_count: int

    @property
    def paths(self) -> tuple[str, ...]:
        """The report of every trader and day in it."""
        return tuple(
            f"/v1/reports/pnl?trader_id=trader_{trader}&delivery_day={day}"
            for day in DAYS
            for trader in range(TRADERS)
        )


def fields(number: int) -> tuple[str, int, str, str, str, int, str, str]:
    """The ``number``-th trade's fields in the file's order; neighbours differ in everything."""
    tenths = number * 7 % 2000 + 1
    second = number * 86 // 1000 % 86_400  # a million fill the day, in its order
    return (
        f"b_{number}",
        (number * 7919) % 60_000 - 10_000,
        f"{tenths // 10}.{tenths % 10}" if tenths % 10 else str(tenths // 10),
        "buy" if number % 3 else "sell",
        DAYS[number * 31 // TRADERS % len(DAYS)],
        number * 13 % 24,
        f"trader_{number * 17 % TRADERS}",
        f"2023-02-20T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z",
    )


def nightly_file(folder: Path, *, rows: int) -> Loaded:
    """A file of that many trades, lying in ``folder`` and not yet dropped."""
    folder.mkdir(parents=True)
    file = folder / "epex_trades_20230220.csv"
    counts: Counter[tuple[str, str]] = Counter()
    with file.open("w", encoding="utf-8") as out:
        out.write(HEADER + "\n")
        for number in range(rows):
            row = fields(number)
            counts[row[6], row[4]] += 1
            out.write(",".join(map(str, row)) + "\n")
    last = fields(rows - 1)
    return Loaded(folder, file, rows, last[6], last[4], counts[last[6], last[4]])


def ndjson_file(path: Path, *, trades: int) -> Path:
    """The same trades, one JSON object a line."""
    with path.open("w", encoding="utf-8") as out:
        for number in range(trades):
            out.write(json_of(fields(number)) + "\n")
    return path


def bodies(count: int = 480) -> tuple[str, ...]:
    """Single bookings whose id ends in ``@N@``, spread over traders and hours."""
    return tuple(json_of(("s_@N@", *fields(number)[1:])) for number in range(count))


def json_of(row: tuple[object, ...]) -> str:
    identity, price, quantity, direction, day, hour, trader, time = row
    return (
        f'{{"id":"{identity}","price":{price},"quantity":{quantity},"direction":"{direction}",'
        f'"delivery_day":"{day}","delivery_hour":{hour},"trader_id":"{trader}","execution_time":"{time}"}}'
    )
