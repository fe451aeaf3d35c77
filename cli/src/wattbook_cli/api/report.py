"""``wattbook report``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text
from wattbook.clock import SystemClock

from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.tables import aligned, console, signed_eur, table
from wattbook_cli.api.terminal import pass_through
from wattbook_cli.clients.gateway import CSV, JSON, exact
from wattbook_cli.domain.days import day_named

_COLUMNS = ("Hour", "Trades", "Buy MW", "Sell MW", "PnL EUR")


@click.command()
@click.argument("trader", required=False)
@click.option("--day", default="today", show_default=True, help="YYYY-MM-DD, today, yesterday or tomorrow.")
@click.option("--area", default="DE", show_default=True, help="The market area.")
@click.option("--json", "form", flag_value=JSON, help="The API's JSON as it is.")
@click.option("--csv", "form", flag_value=CSV, help="The API's CSV as it is.")
@calls_gateway()
def report(session: Session, *, trader: str | None, day: str, area: str, form: str | None) -> None:
    """A trader's profit and loss of one delivery day, hour by hour.

    A user with the trader role may leave out TRADER.
    """
    asked_day = day_named(day, area=area, now=SystemClock().now()).isoformat()
    query = {"trader_id": trader, "delivery_day": asked_day, "area": area}
    with session.open() as gateway:
        answer = gateway.ask("GET", "/v1/reports/pnl", query=query, accept=form or JSON)
    if form:
        pass_through(answer.content)
    else:
        console().print(shown(exact(answer.text)))


def shown(report: dict[str, Any]) -> Group:
    """The report as a table of all hours with their total, and the outcome in words."""
    rows = [*report["hours"], report["total"]]
    trader = report["trader_id"]
    title = f"{trader}, delivery {report['delivery_day']}, {report['area']} ({report['time_zone']})"
    made = table(*_COLUMNS, title=title, figures=_COLUMNS[1:])
    made.title_style = "bold"
    _fill(made, rows)
    return Group(made, Text(), _in_words(report["total"]))


def _fill(made: Table, rows: Sequence[dict[str, Any]]) -> None:
    bought = aligned([Decimal(row["buy_mw"]) for row in rows])
    sold = aligned([Decimal(row["sell_mw"]) for row in rows])
    for row, buy_mw, sell_mw in zip(rows, bought, sold, strict=True):
        is_total = row is rows[-1]
        made.add_row(
            "Total" if is_total else row["label"],
            f"{row['trades']:,}",
            buy_mw,
            sell_mw,
            signed_eur(Decimal(row["pnl_eur"])),
            style="bold" if is_total else None,
            end_section=row is rows[-2],
        )


def _in_words(total: dict[str, Any]) -> Text:
    amount_eur = Decimal(total["pnl_eur"])
    if not total["trades"]:
        return Text("No trades for this trader and day.")
    outcome = "Profit" if amount_eur > 0 else "Loss" if amount_eur < 0 else "Neither profit nor loss"
    return Text.assemble(f"{outcome}: ", signed_eur(amount_eur), f" EUR over {total['trades']:,} trades.")
