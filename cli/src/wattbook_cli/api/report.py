"""``wattbook report``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from wattbook_cli.api.live import show_performance
from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.performance import energy
from wattbook_cli.api.tables import aligned, console, signed_eur, table
from wattbook_cli.api.terminal import counted, pass_through
from wattbook_cli.clients.desk_time import DeskTime
from wattbook_cli.clients.gateway import CSV, JSON, exact
from wattbook_cli.domain.days import day_named, fixed_day
from wattbook_cli.domain.stops import Stop
from wattbook_cli.usecases.follow import Follow

_COLUMNS = ("Hour", "Trades", "Buy MW", "Sell MW", "PnL EUR")


@click.command()
@click.argument("trader", required=False)
@click.option("--day", default="today", show_default=True, help="YYYY-MM-DD, today, yesterday or tomorrow.")
@click.option("--area", default="DE", show_default=True, help="The market area.")
@click.option("--live", is_flag=True, help="Against the reference price; on a terminal until Ctrl-C.")
@click.option("--wide", is_flag=True, help="With --live: all columns.")
@click.option("--json", "form", flag_value=JSON, help="The API's JSON as it is.")
@click.option("--csv", "form", flag_value=CSV, help="The API's CSV as it is.")
@calls_gateway()
def report(
    session: Session,
    *,
    trader: str | None,
    day: str,
    area: str,
    live: bool,
    wide: bool,
    form: str | None,
) -> None:
    """A trader's profit and loss of one delivery day, hour by hour.

    With --live our average price against the reference price, and how we are doing so far. A user with
    the trader role may leave out TRADER.
    """
    if wide and not live:
        raise Stop("--wide is for --live")
    fixed_day(day, area=area)  # what cannot be asked is said before anybody has to sign in
    path = "/v1/reports/performance" if live else "/v1/reports/pnl"
    with session.open() as gateway:
        clock = DeskTime(gateway)

        def query() -> dict[str, str | None]:
            asked_day = day_named(day, area=area, clock=clock).isoformat()
            return {"trader_id": trader, "delivery_day": asked_day, "area": area}

        if live and not form:
            return show_performance(Follow(gateway, path, query=query), wide=wide, clock=clock)
        answer = gateway.ask("GET", path, query=query(), accept=form or JSON)
    if form:
        pass_through([answer.content])
    else:
        console().print(shown(exact(answer.text)))
    return None


def shown(report: dict[str, Any]) -> Group:
    """The report as a table of all hours with their total, and what PnL leaves out."""
    title = f"{report['trader_id']}, delivery {report['delivery_day']}, {report['area']}"
    zone = Text(f" ({report['time_zone']})", style="dim")
    return Group(
        Text.assemble((title, "bold"), zone),
        Text(),
        _filled(report["hours"], report["total"]),
        Text(),
        _in_words(report["total"]),
    )


def _filled(hours: Sequence[dict[str, Any]], total: dict[str, Any]) -> Table:
    made = table(*_COLUMNS, figures=_COLUMNS[1:])
    made.show_footer = True
    bought = aligned([Decimal(row["buy_mw"]) for row in (*hours, total)])
    sold = aligned([Decimal(row["sell_mw"]) for row in (*hours, total)])
    for hour, buy_mw, sell_mw in zip(hours, bought, sold, strict=False):
        amount = signed_eur(Decimal(hour["pnl_eur"]))
        quiet = None if hour["trades"] else "dim"
        made.add_row(hour["label"], f"{hour['trades']:,}", buy_mw, sell_mw, amount, style=quiet)
    amount = signed_eur(Decimal(total["pnl_eur"]))
    totals: list[str | Text] = ["Total", f"{total['trades']:,}", bought[-1], sold[-1], amount]
    for column, footer in zip(made.columns, totals, strict=True):
        column.footer = footer
    return made


def _in_words(total: dict[str, Any]) -> Text:
    amount_eur = Decimal(total["pnl_eur"])
    if not total["trades"]:
        return Text("No trades for this trader and day.")
    position = Decimal(total["buy_mwh"]) - Decimal(total["sell_mwh"])
    left_out = (
        f"open position {energy(position, signed=True)} MWh not valued" if position else "no open position"
    )
    return Text.assemble(
        "Cash so far: ",
        signed_eur(amount_eur),
        f" EUR over {counted(total['trades'], 'trade')}; {left_out}.",
    )
