"""``wattbook quarantine``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click
from wattbook.periods import DEFAULT_AREA, area_of

from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.tables import console, local_time, plain, table
from wattbook_cli.api.terminal import complain, counted, exact_json, pass_through, say
from wattbook_cli.clients.gateway import Gateway
from wattbook_cli.domain.stops import EXIT_FAILED, EXIT_ROWS_REFUSED, SignInNeeded, Stop, TryLater
from wattbook_cli.usecases import feed

_STATES = ("open", "replayed", "dropped", "all")
_NUMBER = click.IntRange(1)
_TIMES = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"])
_ZONE = ZoneInfo(area_of(DEFAULT_AREA).time_zone)
F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def quarantine() -> None:
    """What the exchange sent and could not be read or booked: look, book it again, or let it go."""


@quarantine.command("list")
@click.option("--state", type=click.Choice(_STATES), default="open", show_default=True)
@click.option("--limit", type=_NUMBER, default=50, show_default=True, help="At most so many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@calls_gateway()
def list_all(session: Session, *, state: str, limit: int, as_json: bool) -> None:
    """List what was set aside."""
    asked_state = None if state == "all" else state
    with session.open() as gateway:
        found, still_open = feed.quarantined(gateway, state=asked_state, limit=limit)
    if as_json:
        say(exact_json({"items": found, "open": still_open}))
        return
    if found:
        console().print(_listed(found))
    shown = counted(len(found), "frame") if found else "No frames"
    say(f"\n{shown} shown, {still_open:,} open." if found else f"{shown} ({state}); {still_open:,} open.")


@quarantine.command()
@click.argument("number", type=_NUMBER)
@click.option("--json", "as_json", is_flag=True, help="The API's JSON as it is.")
@calls_gateway()
def show(session: Session, *, number: int, as_json: bool) -> None:
    """Show one, with what the exchange sent, byte for byte."""
    with session.open() as gateway:
        if as_json:
            return pass_through([gateway.ask("GET", f"/v1/quarantine/{number}").content])
        item = feed.show(gateway, number)
    decided = f" by {item['decided_by']}, {_time(item['decided'])}" if item["decided_by"] else ""
    made = table("", "")
    made.show_header = False
    for name, value in (
        ("Number", item["id"]),
        ("State", f"{item['state']}{decided}"),
        ("Received", _time(item["received"])),
        ("From", item["origin"]),
        ("Trade", item["trade_id"] or "–"),
        ("Why", item["reason"]),
    ):
        made.add_row(name, plain(value))
    shown = console()
    shown.print(made)
    shown.print()
    frame = item.get("frame")
    if frame is None:
        shown.print(plain(f"base64: {item.get('frame_base64', '')}"), soft_wrap=True)
    else:
        shown.print(plain(frame or "(the frame is no longer there)"), soft_wrap=True)
    return None


def _selects(*names: str) -> Callable[[F], F]:
    """Give a command numbers, or a filter in their place; ``names`` are more names of ``--matching``."""
    options = (
        click.argument("numbers", metavar="[NUMBER…]", nargs=-1, type=_NUMBER),
        click.option(
            "--matching", *names, "text", default="", help="All that are open and have this in Why."
        ),
        click.option(
            "--before", type=_TIMES, help="All that are open and were received before, Berlin time."
        ),
        click.option("--all", "everything", is_flag=True, help="Everything that is open, oldest first."),
    )

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@quarantine.command()
@_selects("--reason")
@click.option("--trader", default="", help="Book it for this trader, under its id as it stands.")
@calls_gateway()
def replay(
    session: Session,
    *,
    numbers: Sequence[int],
    text: str,
    before: datetime | None,
    everything: bool,
    trader: str,
) -> int:
    """Read and book it again, after a fix; booking twice is not possible.

    With --trader it is the exchange's last word, whatever its id looks like; your name is kept with it.

    Ends with 0 where all of it is handed on, 2 where something stays open, 1 where something failed.
    """
    which = _which(numbers, text=text, before=before, everything=everything)
    with session.open() as gateway:
        return _each(
            gateway,
            which(gateway),
            lambda to, number: feed.replay(to, number, trader=trader),
            done="replayed",
        )


@quarantine.command()
@_selects()
@click.option("--reason", required=True, help="Why; it is kept with your name.")
@calls_gateway()
def drop(
    session: Session,
    *,
    numbers: Sequence[int],
    text: str,
    before: datetime | None,
    everything: bool,
    reason: str,
) -> int:
    """Set it aside for good; it is kept, and counts as dropped."""
    which = _which(numbers, text=text, before=before, everything=everything)
    with session.open() as gateway:
        return _each(
            gateway, which(gateway), lambda to, number: feed.drop(to, number, reason=reason), done="dropped"
        )


def _which(
    numbers: Sequence[int], *, text: str, before: datetime | None, everything: bool
) -> Callable[[Gateway], Sequence[int]]:
    """How to find the numbers that are meant."""
    if bool(numbers) == bool(text or before or everything):
        raise Stop("say which: one or more numbers, or --matching, --before or --all")
    if numbers:
        return lambda _: numbers
    received_before = None if before is None else before.replace(tzinfo=_ZONE)

    def which(gateway: Gateway) -> Sequence[int]:
        found = feed.open_numbers(gateway, text=text, received_before=received_before)
        if not found:
            say("Nothing such is open." if text or before else "Nothing is open.")
        return found

    return which


def _each(
    gateway: Gateway, numbers: Sequence[int], act: Callable[[Gateway, int], dict[str, Any]], *, done: str
) -> int:
    code = 0
    for number in numbers:
        try:
            item = act(gateway, number)
        except (SignInNeeded, TryLater):
            raise
        except Stop as stop:
            complain(f"wattbook: {number}: {stop.message}")
            code = EXIT_FAILED
            continue
        if item["state"] == done:
            say(f"{number}: {done}" + (f" ({item['trade_id']})" if item["trade_id"] else ""))
        else:
            say(f"{number}: still {item['state']}: {plain(item['reason'])}")
            code = code or EXIT_ROWS_REFUSED
    return code


def _listed(items: Sequence[dict[str, Any]]) -> Any:
    made = table("Number", "Received", "State", "Trade", "Why", figures=("Number",))
    made.columns[1].no_wrap = True
    for item in items:
        received, why = _time(item["received"]), plain(item["reason"])
        made.add_row(str(item["id"]), received, item["state"], plain(item["trade_id"] or "–"), why)
    return made


def _time(instant: str | None) -> str:
    return local_time(instant, zone=_ZONE)
