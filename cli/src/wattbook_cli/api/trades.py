"""``wattbook trades``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import click
from wattbook.trade import TRADE_FIELDS
from wattbook.units import CT_PER_EUR

from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.tables import console, table
from wattbook_cli.api.terminal import counted, exact_json, pass_through
from wattbook_cli.clients.desk_time import DeskTime
from wattbook_cli.domain.days import day_named, fixed_day
from wattbook_cli.usecases.list_trades import list_trades

_SHOWN = 50


@click.command()
@click.option("--trader", help="Only this trader's.")
@click.option("--day", help="Only for delivery on this day: YYYY-MM-DD, today, yesterday or tomorrow.")
@click.option("--area", help="Only in this market area.")
@click.option("--limit", type=click.IntRange(1), help="At most so many (50 in a table, else all).")
@click.option("--json", "form", flag_value="json", help="A JSON array.")
@click.option("--csv", "form", flag_value="csv", help="CSV in the nightly file's columns.")
@calls_gateway()
def trades(
    session: Session,
    *,
    trader: str | None,
    day: str | None,
    area: str | None,
    limit: int | None,
    form: str | None,
) -> None:
    """List trades."""
    if day:
        fixed_day(day, area=area or "")
    with session.open() as gateway:
        asked_day = day_named(day, area=area or "", clock=DeskTime(gateway)).isoformat() if day else None
        query = {"trader_id": trader, "delivery_day": asked_day, "area": area}
        if form == "json" and limit is None:
            with gateway.download("/v1/trades", query=query) as body:
                return pass_through(body)
        most = limit or (None if form else _SHOWN)
        found = list_trades(gateway, query=query, limit=most)
        {"json": _print_json, "csv": _print_csv}.get(form or "", _print_table)(found)
    return None


def _print_json(trades: Iterable[dict[str, Any]]) -> None:
    separator = "["
    for trade in trades:
        print(separator, exact_json(trade), sep="\n", end="")
        separator = ","
    print("\n]" if separator == "," else "[]")


def _print_csv(trades: Iterable[dict[str, Any]]) -> None:
    # Columns of the nightly file, so that what is listed can be imported elsewhere.
    writer = csv.DictWriter(sys.stdout, TRADE_FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(trades)


def _print_table(trades: Iterable[dict[str, Any]]) -> None:
    columns = ("Delivery", "Hour", "Side", "MW", "EUR/MWh", "Trader", "Id", "Executed")
    made = table(*columns, figures=("Hour", "MW", "EUR/MWh"))
    for trade in trades:
        made.add_row(
            trade["delivery_day"],
            f"{trade['delivery_hour']:02d}",
            trade["direction"],
            str(trade["quantity"]),
            f"{Decimal(trade['price']) / CT_PER_EUR:,.2f}",
            trade["trader_id"],
            trade["id"],
            trade["execution_time"][5:16].replace("T", " "),
        )
    shown = made.row_count
    if shown:
        console().print(made)
    more = f" (the first {_SHOWN}; --limit shows more)" if shown == _SHOWN else ""
    print(f"\n{counted(shown, 'trade')}{more}." if shown else "No trades.")
