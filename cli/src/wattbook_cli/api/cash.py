"""``wattbook companies``, ``balance`` and ``cash``."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.table import Table
from rich.text import Text
from wattbook.text import without_formula

from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.tables import console, plain, table
from wattbook_cli.api.terminal import complain, counted, exact_json, pass_through, say
from wattbook_cli.usecases import cash as usecases

INTERVALS = ("day", "week", "month", "quarter", "year")
INCLUDES = ("batch", "batch-once", "invalid-iban")
_SHOWN = 20
F = TypeVar("F", bound=Callable[..., Any])


def _forms(command: F) -> F:
    """Give a command ``--json`` and ``--csv``."""
    for option in (
        click.option("--csv", "form", flag_value="csv", help="CSV, amounts exact."),
        click.option("--json", "form", flag_value="json", help="The API's JSON, exact."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("query", metavar="QUERY", default="")
@click.option("--limit", type=click.IntRange(1), default=_SHOWN, show_default=True, help="At most so many.")
@_forms
@calls_gateway()
def companies(session: Session, *, query: str, limit: int, form: str | None) -> None:
    """Find companies by name, number or IBAN, or part of either."""
    with session.open() as gateway:
        found = usecases.companies(gateway, query=query, limit=limit)
    if form == "json":
        say(exact_json(found))
        return
    rows = [
        {
            "No.": each["id"],
            "Company": each["name"],
            "Owner": each["owner"],
            "Accounts": each["accounts"],
            "Stated": _money(each["stated_balance"]),
            "IBAN": each["matched_iban"],
        }
        for each in found
    ]
    _show(rows, form, figures=("No.", "Accounts", "Stated"), none=f"No company has {query!r}.")


@click.command()
@click.argument("company", metavar="COMPANY")
@click.option("--at", help="At the end of this day, or at this time with its zone; else now.")
@click.option("--by", type=click.Choice(INTERVALS), help="Opening, in, out and closing of each.")
@click.option("--from", "since", help="With --by: from this day on; else the last year.")
@click.option("--to", "before", help="With --by: before this day.")
@click.option("--in", "currency", type=click.Choice(("EUR", "USD")), default="EUR", show_default=True)
@click.option("--include", type=click.Choice(INCLUDES), multiple=True, help="Count these payments, too.")
@_forms
@calls_gateway()
def balance(
    session: Session, *, company: str, at: str | None, by: str | None, since: str | None, before: str | None,
    currency: str, include: Sequence[str], form: str | None,
) -> None:  # fmt: skip
    """What a company has: its number, or a name or IBAN that only it has."""
    query = {"currency": currency, "include": ",".join(include) or None}
    with session.open() as gateway:
        number = usecases.number_of(gateway, company)
        if by:
            query |= {"interval": by, "from": since, "to": before}
            found = usecases.asked(gateway, f"/v1/companies/{number}/history", query=query)
        else:
            found = usecases.asked(gateway, f"/v1/companies/{number}/balance", query={**query, "at": at})
    if form == "json":
        say(exact_json(found))
        return
    if form is None:
        _head(found)
    if by:
        rows = [_bucket(each) for each in found["buckets"]]
        if form is None:
            rows = _fitting(rows)
        _show(rows, form, figures=tuple(rows[0])[1:] if rows else (), none="Nothing in this period.")
    else:
        rows = [_account(each, found["currency"]) for each in found["accounts"]]
        _show(rows, form, figures=("Balance", "Payments"), none="No accounts.")
    if form is None:
        _stands_on(found)


@click.group()
def cash() -> None:
    """The bank's data: how far it is had, its windows, what is unusual, and cleaning it anew."""


@cash.command()
@_forms
@calls_gateway()
def status(session: Session, *, form: str | None) -> None:
    """How far the bank's data is had, and how the polling goes."""
    with session.open() as gateway:
        found = usecases.asked(gateway, "/v1/cash/status")
    if form == "json":
        say(exact_json(found))
        return
    rows = [
        {
            "Kind": each["kind"],
            "Complete to": _short(each["complete_to"]),
            "Windows": each["windows"],
            "Missing": each["windows_missing"],
            "Late": each["windows_late"],
            "Changed": each["windows_changed"],
            "Payments": each["payments"],
            "Trouble": each["trouble"],
        }
        for each in found["sources"]
    ]
    _show(
        rows, form, figures=("Windows", "Missing", "Late", "Changed", "Payments"), none="No bank is followed."
    )
    if form is None:
        said = (counted(found["accounts"], "account"), counted(found["set_aside"], "payment") + " set aside")
        say(f"\n{found['companies']:,} companies, {', '.join(said)}.")
        if found["check_trouble"]:
            complain(f"wattbook: the check of sums against payments: {plain(found['check_trouble'])}")
        _stands_on(found)


@cash.command()
@click.option("--kind", type=click.Choice(("sepa", "swift")))
@click.option("--state", type=click.Choice(("complete", "open", "late", "changed")))
@click.option("--limit", type=click.IntRange(1), default=_SHOWN, show_default=True, help="At most so many.")
@_forms
@calls_gateway()
def windows(session: Session, *, kind: str | None, state: str | None, limit: int, form: str | None) -> None:
    """The windows of 5 days that are had, newest first."""
    with session.open() as gateway:
        found = usecases.listed(
            gateway, "/v1/cash/windows", "windows", query={"kind": kind, "state": state}, limit=limit
        )
    if form == "json":
        say(exact_json(found))
        return
    rows = [
        {
            "Kind": each["kind"],
            "From": _short(each["from"]),
            "Version": each["version"],
            "State": "complete" if each["complete"] else "open",
            "Rows": each["rows"],
            "Payments": each["payments"],
            "Set aside": each["set_aside"],
            "Received": _short(each["received"], time=True),
        }
        for each in found
    ]
    _show(rows, form, figures=("Version", "Rows", "Payments", "Set aside"), none="No such window.")


@cash.command()
@click.argument("company", metavar="[COMPANY]", default="")
@click.option("--in", "currency", type=click.Choice(("EUR", "USD")), default="EUR", show_default=True)
@_forms
@calls_gateway()
def quality(session: Session, *, company: str, currency: str, form: str | None) -> None:
    """What is unusual in the data, of one company with what it would change, or of all."""
    with session.open() as gateway:
        path = f"/v1/companies/{usecases.number_of(gateway, company)}" if company else "/v1/cash"
        found = usecases.asked(gateway, f"{path}/quality", query={"currency": currency})
    if form == "json":
        say(exact_json(found))
        return
    rows = [
        {
            "Kind": each["kind"],
            "Payments": each["payments"],
            "In": each["in"],
            "Out": each["out"],
            "Set aside": "yes" if each["set_aside"] else "no",
            **({"Balance with": each["balance_with"]} if company else {}),
        }
        for each in found["kinds"]
    ]
    _show(rows, form, figures=("Payments", "In", "Out", "Balance with"), none="Nothing is unusual.")
    if form is None:
        if found["balance"]:
            both = f"{_figure(found['balance'])}, with all of it {_figure(found['balance_with_all'])}"
            say(f"\nBalance clean {both} {found['currency']}.")
        _stands_on(found)


@cash.command()
@click.option("--keep", is_flag=True, help="Let the figures follow; else it is only told what would differ.")
@_forms
@calls_gateway()
def reclean(session: Session, *, keep: bool, form: str | None) -> None:
    """Run today's rules over what the bank sent; for admin."""
    with session.open() as gateway:
        found = usecases.recleaned(gateway, keep=keep, told=lambda line: complain(line) if not form else None)
    if form == "json":
        say(exact_json(found))
        return
    rows = [
        {
            "No.": each["company_id"],
            "Company": each["name"],
            "Payments before": each["payments_before"],
            "after": each["payments_after"],
            "Balance before": each["balance_before"],
            "Balance after": each["balance_after"],
        }
        for each in found["differences"]
    ]
    figures = ("No.", "Payments before", "after", "Balance before", "Balance after")
    _show(rows, form, figures=figures, none="No company's figures differ.")
    if form is None and rows:
        said = "The figures follow now." if found["kept"] else "Nothing is changed; --keep lets them follow."
        say(f"\n{counted(len(rows), 'difference')}, in EUR. {said}")


def _show(rows: Sequence[Mapping[str, Any]], form: str | None, *, figures: Sequence[str], none: str) -> None:
    if form == "csv":
        pass_through([_csv(rows)])
    elif rows:
        console().print(_table(rows, figures))
    else:
        say(none)


def _fitting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the columns that the terminal has no room for: a figure is never cut."""
    for name in ("Lowest", "Internal", "Opening"):
        cells = [[_figure(value) for value in row.values()] for row in rows]
        columns = zip(*cells, strict=True) if rows else ()
        width = sum(max(len(cell) for cell in (*column, "Opening")) + 1 for column in columns)
        if width <= console().width:
            break
        rows = [{key: value for key, value in row.items() if key != name} for row in rows]
    return rows


def _table(rows: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> Table:
    made = table(*rows[0], figures=figures)
    made.columns[0].no_wrap = True
    for row in rows:
        made.add_row(*(_cell(name, value, figures) for name, value in row.items()))
    return made


def _cell(name: str, value: Any, figures: Sequence[str]) -> Text | str:
    if value is None or value == "":
        return "–"
    return _figure(value) if name in figures else plain(value)


def _figure(value: Any) -> str:
    """A figure with thousands; what follows an amount, as its currency, stays."""
    number, _, rest = str(value).partition(" ")
    if not number.lstrip("-").replace(".", "", 1).isdigit():
        return str(value)
    sign, whole = ("-", number[1:]) if number.startswith("-") else ("", number)
    before, point, after = whole.partition(".")
    return f"{sign}{int(before):,}{point}{after}" + (f" {rest}" if rest else "")


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    if rows:
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(rows[0])
        lines.writerows([_written(value) for value in row.values()] for row in rows)
    return text.getvalue().encode()


def _written(value: Any) -> Any:
    """A cell; an amount stays the figure that it is, all other text is no formula."""
    if value is None or not isinstance(value, str) or value.lstrip("-").replace(".", "", 1).isdigit():
        return value
    return without_formula(value)


def _bucket(each: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Period": each["label"],
        "Opening": each["opening"],
        "In": each["in"],
        "Out": each["out"],
        "Internal": each["internal"],
        "Closing": each["closing"],
        "Lowest": each["lowest"],
    }


def _account(each: Mapping[str, Any], currency: str) -> dict[str, Any]:
    return {
        "Account": each["iban"],
        "Bank": each["bank"],
        "Balance": each["balance"],
        "Currency": currency,
        "Payments": each["payments"],
    }


def _head(found: Mapping[str, Any]) -> None:
    company, currency = found["company"], found["currency"]
    shown = console()
    shown.print(Text(plain(f"{company['name']} (No. {company['id']})").plain, style="bold"))
    if "balance" in found:
        parts = (
            f"{name} {_figure(found[name.lower()])} {currency}" for name in ("Balance", "Debt", "Credit")
        )
        say("  ".join(parts))
        if company["stated_balance"]:
            say(f"The bank states {_figure(_money(company['stated_balance']))}")
    say("")


def _stands_on(found: Mapping[str, Any]) -> None:
    """To when it is complete, and what is missing or left out."""
    data, rates = found["data"], found["rates"]
    say(f"\nComplete to {_short(data['complete_to'], time=True)}, rates version {rates['version']}.")
    if data["windows_missing"]:
        named = ", ".join(f"{each['kind']} {_short(each['from'])}" for each in data["missing"])
        complain(f"wattbook: {counted(data['windows_missing'], 'window')} missing: {named}")
    if data["loading"]:
        complain("wattbook: the bank still has older payments to give")
    for each in found.get("left_out", ()):
        amount = f"{_figure(each['amount'])} {each['currency']}"
        complain(f"wattbook: not in the sums, without a rate: {plain(amount)}")
    if rates["warning"]:
        complain(f"wattbook: rates: {plain(rates['warning'])}")


def _money(money: Mapping[str, str] | None) -> str:
    return f"{money['amount']} {money['currency']}" if money else ""


def _short(instant: str | None, *, time: bool = False) -> str:
    """``2021-03-31`` or ``2021-03-31 12:00``, UTC; ``–`` where there is none."""
    if not instant:
        return "–"
    day, _, clock = instant.partition("T")
    return f"{day} {clock[:5]}" if time else day
