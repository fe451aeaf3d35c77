"""Amounts, accounts and rows of tables on the pages about cash."""

from __future__ import annotations

from decimal import Decimal

from markupsafe import Markup
from wattbook.clock import from_epoch_us, iso_z
from wattbook_proto import cash_pb2

from report_service.api.figures import Writer, day_text
from report_service.api.tables import dash


def money(text: str, writer: Writer, *, sign: bool = False) -> Markup:
    """An exact amount with its currency's decimals; ``""`` is none."""
    if not text:
        return dash("there is no usable amount")
    value = Decimal(text)
    decimals = max(0, -int(value.as_tuple().exponent))
    return writer.cell(value, decimals=decimals, sign=sign)


def toned(text: str, writer: Writer) -> Markup:
    """An amount that has a colour where it is below 0."""
    shown = money(text, writer)
    return Markup('<span class="under">{}</span>').format(shown) if text.startswith("-") else shown


def moment_text(epoch_us: int) -> str:
    """``Wed 31 Mar 2021, 12:00:05 UTC``."""
    instant = from_epoch_us(epoch_us)
    return f"{day_text(instant.date())}, {instant:%H:%M:%S} UTC"


def complete_to(basis: cash_pb2.Basis | cash_pb2.SourceStatus) -> Markup:
    """To when every payment is had, UTC."""
    if not basis.HasField("complete_to_us"):
        return dash("no window is complete yet")
    instant = from_epoch_us(basis.complete_to_us)
    shown = f"{instant:%Y-%m-%d}" if instant.hour == instant.minute == 0 else f"{instant:%Y-%m-%d %H:%M}"
    return Markup('<time datetime="{}">{}</time>').format(iso_z(instant), shown)


def flags(account: cash_pb2.Account) -> Markup:
    """What is odd about an account."""
    odd = {}
    if account.suspicious:
        odd["?"] = f"suspicious: {', '.join(account.suspicious)}"
    if account.also_of:
        odd["shared"] = f"the bank also lists it under company {', '.join(map(str, account.also_of))}"
    flag = Markup(' <abbr class="flag" title="{}">{}</abbr>')
    return Markup("").join(flag.format(hint, words) for words, hint in odd.items())


def many(count: int, word: str, writer: Writer, plural: str = "") -> str:
    """``1 payment``, ``1,234 payments``."""
    return f"{writer.number(count)} {word if count == 1 else plural or word + 's'}"


def td(content: object, kind: str = "", *, title: str = "") -> Markup:
    """A cell."""
    named = Markup(' class="{}"').format(kind) if kind else ""
    hint = Markup(' title="{}"').format(title) if title else ""
    return Markup("<td{}{}>{}</td>").format(named, hint, content)


def row(head: object, *cells: Markup, kind: str = "") -> Markup:
    """A row of :func:`td` cells behind its heading."""
    named = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<tr{}><th scope="row">{}</th>{}</tr>').format(named, head, Markup("").join(cells))


def through(address: str, words: object) -> Markup:
    """A link to what a row is made of."""
    return Markup('<a class="through" href="{}">{}</a>').format(address, words)
