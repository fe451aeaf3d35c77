"""``wattbook prices``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

import click
from rich.text import Text
from wattbook.clock import iso_z
from wattbook.periods import DeliveryPeriod, NoSuchPeriod, area_of, periods_of_day

from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.performance import price
from wattbook_cli.api.tables import age, console, local_time, table
from wattbook_cli.api.terminal import exact_json, pass_through, say
from wattbook_cli.clients.desk_time import DeskTime
from wattbook_cli.clients.gateway import Gateway, exact
from wattbook_cli.domain.days import day_named, fixed_day
from wattbook_cli.domain.stops import Stop


@click.command()
@click.option("--day", default="today", show_default=True, help="YYYY-MM-DD, today, yesterday or tomorrow.")
@click.option("--area", default="DE", show_default=True, help="The market area.")
@click.option("--hour", help="Every value that this hour ever had: 14, or 02A and 02B where it is doubled.")
@click.option("--json", "as_json", is_flag=True, help="The API's JSON as it is.")
@calls_gateway()
def prices(session: Session, *, day: str, area: str, hour: str | None, as_json: bool) -> None:
    """Reference prices of a delivery day, with when the provider said them."""
    if (fixed := fixed_day(day, area=area)) and hour:
        _hours(area, fixed, hour)  # what cannot be asked is said before anybody has to sign in
    with session.open() as gateway:
        clock = DeskTime(gateway)
        asked_day = day_named(day, area=area, clock=clock)
        asked_hours = _hours(area, asked_day, hour) if hour else []
        if asked_hours:
            return _show_histories(gateway, asked_hours, as_json=as_json)
        query = {"delivery_day": asked_day.isoformat(), "area": area}
        answer = gateway.ask("GET", "/v1/reference-prices", query=query)
        if as_json:
            return pass_through([answer.content])
        _show_day(exact(answer.text), clock.now())
    return None


def _show_day(found: dict[str, Any], now: datetime) -> None:
    zone = area_of(found["area"]).zone
    shown = console()
    shown.print(
        Text.assemble((f"Reference prices, delivery {found['delivery_day']}, {found['area']}", "bold"))
    )
    if not found["prices"]:
        say("\nNo prices yet.")
        return
    columns = ("Delivery", "EUR/MWh", "Said by the provider", "Fetched", "Age")
    made = table(*columns, figures=("EUR/MWh", "Age"))
    for each in found["prices"]:
        made.add_row(
            each["label"],
            price(each["value_eur_per_mwh"]),
            local_time(each["last_update"], zone=zone),
            local_time(each["fetched"], zone=zone),
            age(each["last_update"], now=now),
        )
    shown.print()
    shown.print(made)


def _show_histories(gateway: Gateway, hours: Sequence[DeliveryPeriod], *, as_json: bool) -> None:
    for hour in hours:
        path = f"/v1/reference-prices/{quote(iso_z(hour.start), safe='')}/history"
        found = exact(gateway.ask("GET", path, query={"area": hour.area}).text)
        if as_json:
            say(exact_json(found))
            continue
        zone = area_of(hour.area).zone
        shown = console()
        shown.print(Text(f"Reference price of {hour.delivery_day}, {hour.label}, {hour.area}", style="bold"))
        made = table("EUR/MWh", "Said by the provider", "Fetched", figures=("EUR/MWh",))
        for each in found["prices"]:
            said, fetched = (local_time(each[name], zone=zone) for name in ("last_update", "fetched"))
            made.add_row(price(each["value_eur_per_mwh"]), said, fetched)
        if found["prices"]:
            shown.print()
            shown.print(made)
        else:
            say("\nNo price yet.")


def _hours(area: str, day: date, text: str) -> list[DeliveryPeriod]:
    """The hours that ``text`` names: two where a doubled hour's letter is left out.

    Raises:
        Stop: it names none.
    """
    try:
        hours = periods_of_day(area, day)
    except NoSuchPeriod as error:
        raise Stop(str(error)) from None
    number = text.strip().upper().rstrip("AB")
    wanted = number.zfill(2) + text.strip().upper()[len(number) :]
    starts = {hour: hour.label.partition("–")[0] for hour in hours}
    found = [hour for hour, start in starts.items() if wanted in {start, start.rstrip("AB")}]
    if not found:
        raise Stop(f"{text!r} is no hour of {day}; say {starts[hours[0]]} to {starts[hours[-1]]}")
    return found
