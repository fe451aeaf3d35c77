"""Addresses of the pages about cash: each view has its own, and what is as usual is left out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from wattbook.errors import InvalidInput, NotFound
from werkzeug.datastructures import MultiDict

from report_service.domain.cash import (
    CURRENCIES,
    FIRST_DAY,
    INCLUDES,
    INTERVALS,
    LAST_DAY,
    MOST_BUCKETS,
    Look,
    buckets_between,
    newest,
)

DEFAULT_INTERVAL = "month"
_MOST_ID_DIGITS = 15


def look_of(number: str, args: MultiDict[str, str], *, today: date) -> Look:
    """What an address asks for; the newest buckets unless it says from when until when.

    Raises:
        NotFound: there can be no such company.
        InvalidInput: something asked for cannot be.
    """
    if not (number.isascii() and number.isdigit() and len(number) <= _MOST_ID_DIGITS):
        raise NotFound(f"There is no company {number[:40]}.")
    interval = one_of("interval", args.get("interval") or DEFAULT_INTERVAL, tuple(INTERVALS))
    first, last = newest(interval, today)
    if args.get("until"):
        last = _day("until", args["until"])
        first = newest(interval, last)[0]
    if args.get("from"):
        first = _day("from", args["from"])
    if first > last:
        raise InvalidInput("from: expected a day not after until")
    if buckets_between(interval, first, last) > MOST_BUCKETS:
        raise InvalidInput(f"from: over {MOST_BUCKETS} of interval {interval}; choose a longer interval")
    include = {name for text in args.getlist("include") for name in text.split(",") if name}
    if unknown := include - set(INCLUDES):
        raise InvalidInput(f"include: expected some of {', '.join(INCLUDES)}, not {min(unknown)[:40]}")
    if {"batch", "batch-once"} <= include:
        include.discard("batch-once")
    return Look(
        int(number), interval, first, last,
        one_of("currency", args.get("currency") or CURRENCIES[0], CURRENCIES),
        tuple(name for name in INCLUDES if name in include), args.get("account", "")[:64],
    )  # fmt: skip


def one_of(name: str, text: str, allowed: tuple[str, ...]) -> str:
    """``text`` where it is allowed.

    Raises:
        InvalidInput: it is not.
    """
    if text not in allowed:
        raise InvalidInput(f"{name}: expected one of {', '.join(allowed)}")
    return text


def company_address(look: Look, *, suffix: str = "", period: bool = True, **changes: Any) -> str:
    """A company's page; without ``period`` at the newest buckets of its interval."""
    return _address(look.company_id, suffix, query_of(replace(look, **changes), period=period))


def payments_address(
    look: Look,
    chosen: Mapping[str, str] | None = None,
    *,
    first: date | None = None,
    last: date | None = None,
) -> str:
    """The payments behind a figure; ``chosen`` narrows them as in :func:`chosen_of`."""
    narrowed = replace(look, first=first or look.first, last=last or look.last)
    return _address(look.company_id, "/payments", query_of(narrowed) + list((chosen or {}).items()))


def set_aside_address(look: Look) -> str:
    """What is left out of a company's balances."""
    return f"/cash/companies/{look.company_id}/set-aside"


def query_of(look: Look, *, period: bool = True) -> list[tuple[str, str]]:
    """What of it an address says."""
    asked = [("interval", look.interval)] if look.interval != DEFAULT_INTERVAL else []
    if period:
        asked += [("from", look.first.isoformat()), ("until", look.last.isoformat())]
    if look.currency != CURRENCIES[0]:
        asked.append(("currency", look.currency))
    asked += [("include", name) for name in look.include]
    return [*asked, *([("account", look.account)] if look.account else [])]


def with_cursor(path: str, args: MultiDict[str, str], cursor: str) -> str:
    """The next page of a list."""
    kept = [(name, value) for name, value in args.items(multi=True) if name != "cursor"]
    return f"{path}?{urlencode([*kept, ('cursor', cursor)])}"


def chosen_of(args: Mapping[str, str]) -> dict[str, str]:
    """How payments are narrowed, without what was left empty."""
    names = ("direction", "country", "min", "max", "kind", "counterparty")
    found = {name: args.get(name, "").strip()[:64] for name in names}
    found["country"] = found["country"].upper()
    for name, allowed in (("direction", ("in", "out", "internal")), ("kind", ("sepa", "swift"))):
        if found[name]:
            one_of(name, found[name], allowed)
    return {name: text for name, text in found.items() if text}


def _address(number: int, suffix: str, query: list[tuple[str, str]]) -> str:
    return f"/cash/companies/{number}{suffix}" + (f"?{urlencode(query)}" if query else "")


def _day(name: str, text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{name}: expected a day that exists (2021-03-31)") from None
    if not FIRST_DAY <= found <= LAST_DAY - timedelta(days=1):
        raise InvalidInput(f"{name}: outside {FIRST_DAY}…{LAST_DAY}")
    return found
