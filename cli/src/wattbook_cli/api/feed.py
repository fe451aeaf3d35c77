"""``wattbook feed`` and ``wattbook reconcile``."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.table import Table
from rich.text import Text
from wattbook.periods import area_of

from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.tables import BAD, GOOD, age, console, local_time, plain, table
from wattbook_cli.api.terminal import counted, pass_through, say
from wattbook_cli.clients.desk_time import DeskTime
from wattbook_cli.clients.gateway import exact
from wattbook_cli.domain.days import day_named, fixed_day
from wattbook_cli.domain.stops import EXIT_FAILED, EXIT_NOT_RUNNING, EXIT_ROWS_REFUSED
from wattbook_cli.usecases.feed import unequal

_US_PER_MS = 1000
MOST_UNCONFIRMED_SHOWN = 20
_CT_PER_EUR = 100
_KINDS = {
    "differs": "differs",
    "recovered": "only in the file: booked",
    "corrected": "only in the file: booked in place of a client's",
    "file_only": "only in the file: refused",
    "feed_only": "only in the feed",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The API's JSON as it is.")
@calls_gateway()
def feed(session: Session, *, as_json: bool) -> int:
    """How the exchange's feed and the provider of reference prices are.

    Ends with 0 where every listener is connected, 1 where one is not, 3 where there is no exchange.
    """
    with session.open() as gateway:
        answer = gateway.ask("GET", "/v1/feed")
        now = DeskTime(gateway).now()
    found = exact(answer.text)
    listeners = found["listeners"]
    if as_json:
        pass_through([answer.content])
    else:
        _show(found, now)
    if not listeners:
        return EXIT_NOT_RUNNING
    return 0 if all(listener["connected"] for listener in listeners) else EXIT_FAILED


def _show(found: dict[str, Any], now: datetime) -> None:
    shown = console()
    listeners = found["listeners"]
    if not listeners:
        say("This desk listens to no exchange: WATTBOOK_EXCHANGE_URLS names a real one.")
    else:
        made = table(
            "Exchange", "State", "Since", "Last frame", "Frames", "Connects", figures=("Frames", "Connects")
        )
        made.columns[0].overflow = "fold"
        for each in listeners:
            made.add_row(
                plain(_name(each, listeners)), _state(each), age(each["since"], now=now),
                age(each["last_frame"], now=now), f"{each['frames']:,}", f"{each['connects']:,}",
            )  # fmt: skip
        shown.print(made)
        for each in listeners:
            if each["trouble"]:
                shown.print()
                shown.print(plain(f"{_name(each, listeners)}: {each['trouble']}"))
    lag_us = found["lag_us"]
    lag = "–" if lag_us is None else f"{Decimal(lag_us) / _US_PER_MS:,.0f} ms"
    waiting = f"{found['spool_depth']:,} to read, {found['outbox_depth']:,} to book"
    say(f"\nLast trade {age(found['last_trade'], now=now)} ago, {lag} after its execution")
    say(f"{counted(found['frames'], 'frame')} kept: {waiting}, {found['quarantined']:,} quarantined")
    for each in found.get("files_waiting", ()):
        since = age(each["since"], now=now)
        shown.print(plain(f"{each['name']} waits in the drop folder for {since}: {each['waits_for']}"))
    say(_provider(found["prices"], found["prices_missing"], now))


def _name(listener: dict[str, Any], listeners: list[dict[str, Any]]) -> str:
    several = any(each.get("node") for each in listeners)
    return f"{listener['url']}, node {listener['node']}" if several else str(listener["url"])


def _state(listener: dict[str, Any]) -> Text:
    if listener["connected"]:
        return Text("connected", style=GOOD)
    return Text("not connected", style=BAD)


def _provider(prices: dict[str, Any] | None, missing: str | None, now: datetime) -> str:
    if prices is None:
        return f"No reference prices: {plain(missing or 'not known')}"
    fresh = f"{prices['periods_fresh']} of {counted(prices['periods_tradable'], 'hour')} fresh"
    left = f"{prices['minute_budget_left']:,} this minute and {prices['hour_budget_left']:,} this hour"
    trouble = ""
    if prices["trouble"]:
        since = age(prices["trouble_since"], now=now)
        trouble = f"\nThe provider has not answered well for {since}: {plain(prices['trouble'])}"
    return f"Reference prices: {fresh}, requests left {left}{trouble}"


@click.command()
@click.argument("day")
@click.option("--area", default="DE", show_default=True, help="The market area.")
@click.option("--json", "as_json", is_flag=True, help="The API's JSON as it is.")
@calls_gateway()
def reconcile(session: Session, *, day: str, area: str, as_json: bool) -> int:
    """The exchange's nightly file of DAY against what its feed delivered.

    Ends with 0 where both agree (recovered trades are booked), 2 where something has to be looked at,
    3 where no file has come yet.
    """
    fixed_day(day, area=area)
    with session.open() as gateway:
        asked_day = day_named(day, area=area, clock=DeskTime(gateway)).isoformat()
        answer = gateway.ask("GET", f"/v1/reconciliations/{asked_day}", query={"area": area})
    found = exact(answer.text)
    if as_json:
        pass_through([answer.content])
    else:
        _show_reconciliation(found, area)
    if not found["reconciled"]:
        return EXIT_NOT_RUNNING
    return EXIT_ROWS_REFUSED if _to_look_at(found) else 0


def _to_look_at(found: dict[str, Any]) -> int:
    return int(found["feed_only"] + found["differing"] + found.get("file_only", 0))


def _show_reconciliation(found: dict[str, Any], area: str) -> None:
    zone = area_of(area).zone
    complete = local_time(found["complete_to"], zone=zone)
    if found.get("gap"):
        complete += ", then there is one"
    if not found["reconciled"]:
        say(f"No file of {found['day']} has been compared yet; the feed is without a gap to {complete}.")
        return
    when = local_time(found["reconciled_at"], zone=zone)
    say(f"{found['day']}: {plain(found['file_name'])}, compared {when}\n")
    say(f"{found['in_both']:>8,}  in the file and in the feed")
    say(f"{found['recovered']:>8,}  recovered from the file")
    say(f"{found.get('corrected', 0):>8,}  corrected from the file")
    say(f"{found['feed_only']:>8,}  only in the feed")
    say(f"{found['differing']:>8,}  different")
    say(f"{found.get('file_only', 0):>8,}  only in the file, and refused")
    _show_unconfirmed(found.get("unconfirmed"), found.get("unconfirmed_trades", []))
    if found["differences"]:
        say("")
        console().print(_differences(found, zone))
    all_of_them = found["recovered"] + found.get("corrected", 0) + _to_look_at(found)
    say(f"\nThe feed is without a gap to {complete}.")
    if all_of_them > len(found["differences"]):
        say(f"The first {len(found['differences']):,} of {all_of_them:,} differences are known.")


def _show_unconfirmed(count: int | None, trades: list[dict[str, Any]]) -> None:
    if count is None:
        return
    say(f"{count:>8,}  unconfirmed: booked, and never stated by the exchange")
    for each in trades[:MOST_UNCONFIRMED_SHOWN]:
        say(f"          {each['trade_id']} of {each['trader_id']}")
    if count > MOST_UNCONFIRMED_SHOWN:
        say(f"          and {count - MOST_UNCONFIRMED_SHOWN:,} more: --json lists them")


def _differences(found: dict[str, Any], zone: ZoneInfo) -> Table:
    made = table("Trade", "What", "In the file", "In the feed, or the book")
    for each in unequal(found):
        file, feed, booked = (_statement(each.get(name), zone) for name in ("file", "feed", "booked"))
        other = f"booked: {booked}" if booked else feed
        if (not file and not other) or (each["kind"] == "differs" and not (file and other)):
            file = "\n".join(filter(None, (file, each["detail"])))
        kind = _KINDS.get(each["kind"], each["kind"])
        made.add_row(plain(each["trade_id"] or "–"), kind, plain(file or "–"), plain(other or "–"))
    return made


def _statement(said: dict[str, Any] | None, zone: ZoneInfo) -> str:
    """What somebody says of a trade, in the units that people use."""
    if said is None:
        return ""
    hour, price = said["delivery_hour"], Decimal(said["price"]) / _CT_PER_EUR
    return (
        f"{said['trader_id']} {said['direction']} {said['quantity']} MW at {price:.2f} €/MWh, "
        f"{said['delivery_day']} {hour:02d}–{hour + 1:02d}, "
        f"executed {local_time(said['execution_time'], zone=zone)}"
    )
