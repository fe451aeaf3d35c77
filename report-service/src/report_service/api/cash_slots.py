"""A company's cash as its page shows it: every piece of it that may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from markupsafe import Markup, escape
from wattbook.clock import from_epoch_us
from wattbook_proto import cash_pb2

from report_service.api.cash_addresses import company_address, payments_address, set_aside_address
from report_service.api.cash_charts import charts
from report_service.api.cash_figures import complete_to, flags, many, money, row, td, through, toned
from report_service.api.figures import Writer
from report_service.api.slots import Slots
from report_service.api.tables import dash
from report_service.api.world import country_name, world
from report_service.domain.cash import Answers, Look

MOST_ROWS = 400
CLASSES = (Decimal("0.01"), Decimal("0.05"), Decimal("0.2"), Decimal("0.5"))  # of in and out together
KINDS = {
    "batch": ("Batch payments", "the same id, payer, beneficiary and time several times"),
    "batch_once": ("Batches, once", "of members equal in everything, one"),
    "invalid_iban": ("Invalid IBAN", "it begins with no country"),
    "no_amount": ("No amount", "the bank gave none"),
    "not_positive": ("Not positive", "an amount of 0 or below"),
    "no_currency": ("No currency", "the bank gave none"),
    "rounded": ("Rounded", "more decimals than the currency has"),
    "future": ("In the future", "over a day ahead of now: not in the balance of now"),
}
_COUNTED_BY = {"batch": ("batch",), "batch_once": ("batch", "batch-once"), "invalid_iban": ("invalid-iban",)}


def live_slots(found: Answers, look: Look, locale: str) -> Slots:
    """Everything on a company's page that may change."""
    writer = Writer(locale)
    return {
        **strip(found, writer),
        "rows": bucket_rows(found.history.buckets, look, writer),
        "more": _more(len(found.history.buckets)),
        **charts(found.history.buckets, look, writer),
        "accounts": account_rows(found.balance, look, writer),
        **countries(found.countries, look, writer),
        "counterparties": counterparty_rows(found.counterparties, look, writer),
        "counterparties.note": _counted(found.counterparties, writer),
        "quality": quality_rows(found.quality, look, writer),
        "quality.note": _quality_note(found, look, writer),
        "said": said_of(found, writer),
    }


def strip(found: Answers, writer: Writer) -> Slots:
    """The balance, large, with debt and credit beside it."""
    balance, basis = found.balance, found.balance.basis
    stated = balance.company.stated_balance
    count = len(balance.accounts)
    under = sum(each.balance.startswith("-") for each in balance.accounts)
    over = sum(not each.balance.startswith("-") and Decimal(each.balance) > 0 for each in balance.accounts)
    missing = basis.windows_missing
    return {
        "k.balance": toned(balance.balance, writer),
        "k.balance.note": escape(f"{many(balance.payments, 'payment', writer)}, now"),
        "k.debt": toned(balance.debt, writer),
        "k.debt.note": escape(f"{under} of {many(count, 'account', writer)} below 0"),
        "k.credit": money(balance.credit, writer),
        "k.credit.note": escape(f"{over} of {many(count, 'account', writer)} above 0"),
        "k.stated": money(stated.amount, writer) if stated.currency else dash("the bank states none"),
        "k.stated.note": escape(f"{stated.currency}, as the bank states it" if stated.currency else ""),
        "k.complete": complete_to(basis),
        "k.complete.note": Markup('<span class="warn">▲ {} missing</span>').format(
            many(missing, "window", writer)
        )
        if missing
        else escape("no window missing"),
    }


def said_of(found: Answers, writer: Writer) -> Markup:
    """What has to be known beside the figures: what is missing, left out, doubtful."""
    basis, said = found.balance.basis, []
    if basis.loading:
        said.append(escape("The bank still has older payments to give: the figures grow."))
    if basis.windows_missing:
        gaps = [_gap(each) for each in basis.missing]
        more = basis.windows_missing - len(gaps)
        rest = f" and {more} more" if more > 0 else ""
        said.append(Markup("<strong>Windows missing:</strong> {}{}.").format(", ".join(gaps), rest))
    not_summed = Markup("<strong>Not in the sums:</strong> {} {} in {}: there is no rate.")
    said += [
        not_summed.format(money(each.amount, writer), each.currency, many(each.payments, "payment", writer))
        for each in found.balance.left_out
    ]
    if found.balance.future_payments:
        counted = many(found.balance.future_payments, "payment", writer)
        said.append(escape(f"{counted} over a day ahead of now: not in the balance."))
    if basis.rates.warning:
        said.append(Markup("<strong>Rates:</strong> {}.").format(basis.rates.warning.rstrip(".")))
    if found.balance.company.gone:
        said.append(escape("The bank does not list this company any more."))
    return Markup("").join(Markup("<p>{}</p>").format(each) for each in said)


def bucket_rows(buckets: Sequence[cash_pb2.Bucket], look: Look, writer: Writer) -> Markup:
    """A row a bucket, the newest first."""
    return Markup("").join(_bucket(each, look, writer) for each in reversed(buckets[-MOST_ROWS:]))


def _bucket(each: cash_pb2.Bucket, look: Look, writer: Writer) -> Markup:
    first, last = _days(each)
    closing = toned(each.closing, writer)
    if Decimal(each.rounding or 0):
        rounding = money(each.rounding, writer, sign=True)
        flag = Markup('<abbr class="flag" title="rounding of the figures shown">{}</abbr> ')
        closing = flag.format(rounding) + closing
    return row(
        through(payments_address(look, first=first, last=last), each.label),
        td(toned(each.opening, writer)),
        td(money(each.cash_in, writer)),
        td(money(each.cash_out, writer)),
        td(money(each.internal, writer), "internal"),
        td(closing, "closing"),
        td(toned(each.lowest, writer), "lowest", title=each.lowest_day or "the opening"),
        td(writer.number(each.payments)),
        kind="traded" if each.payments else "idle",
    )


def account_rows(balance: cash_pb2.BalanceReply, look: Look, writer: Writer) -> Markup:
    """A row an account, the largest debt first."""
    rows = []
    for each in sorted(balance.accounts, key=lambda one: Decimal(one.balance)):
        iban = each.account.iban
        address = company_address(look, account="" if look.account == iban else iban)
        paid = [f"{money(one.amount, writer).striptags()} {one.currency}" for one in each.by_currency]
        rows.append(
            row(
                through(address, Markup("<code>{}</code>").format(iban)) + flags(each.account),
                td(each.account.bank or dash("the bank is not known"), "bank"),
                td(toned(each.balance, writer), "closing", title=", ".join(paid)),
                td(writer.number(each.payments)),
                kind="looked" if look.account == iban else "",
            )
        )
    return Markup("").join(rows)


def countries(reply: cash_pb2.CountriesReply, look: Look, writer: Writer) -> Slots:
    """A row a country, and the class of each on the map."""
    total = sum((_turnover(each.flow) for each in reply.countries), Decimal())
    rows, classes = [], {}
    for each in reply.countries:
        share = _turnover(each.flow) / total if total else Decimal()
        classes[each.country] = sum(share > limit for limit in CLASSES) + 1
        address = (
            payments_address(look, {"country": each.country}) if each.country else set_aside_address(look)
        )
        percent = writer.number(round(share * 100, 1), decimals=1)
        rows.append(
            row(
                through(address, country_name(each.country)),
                td(money(each.flow.cash_in, writer)),
                td(money(each.flow.cash_out, writer)),
                td(writer.number(each.flow.payments_in + each.flow.payments_out)),
                td(Markup('<meter value="{}"></meter> {} %').format(round(share, 4), percent), "share"),
            )
        )
    slots = {"countries": Markup("").join(rows) or _nothing(5)}
    for shape in world().shapes:
        if shape.code:
            step = classes.get(shape.code, 0)
            slots[f"c:map.{shape.code}"] = escape(f"land q{step}" if step else "land")
    return slots


def counterparty_rows(reply: cash_pb2.CounterpartiesReply, look: Look, writer: Writer) -> Markup:
    """A row a counterparty, the largest first."""
    rows = []
    for each in reply.counterparties:
        iban = Markup("<code>{}</code>").format(each.account.iban)
        address = payments_address(look, {"counterparty": each.account.iban})
        rows.append(
            row(
                through(address, each.company or iban) + flags(each.account),
                td(each.account.bank or dash("the bank is not known"), "bank"),
                td(money(each.flow.cash_in, writer)),
                td(money(each.flow.cash_out, writer)),
                td(writer.number(each.flow.payments_in + each.flow.payments_out)),
            )
        )
    return Markup("").join(rows) or _nothing(5)


def quality_rows(reply: cash_pb2.QualityReply, look: Look, writer: Writer) -> Markup:
    """A row a kind of what is unusual."""
    rows = []
    for each in reply.kinds:
        title, hint = KINDS.get(each.kind, (each.kind.replace("_", " ").capitalize(), ""))
        no_choice = dash("counting it is no choice")
        rows.append(
            row(
                Markup('<abbr title="{}">{}</abbr>').format(hint, title),
                td(writer.number(each.payments)),
                td(money(each.cash_in, writer)),
                td(money(each.cash_out, writer)),
                td(_counts(each, look)),
                td(toned(each.balance_with, writer) if each.balance_with else no_choice, "closing"),
            )
        )
    return Markup("").join(rows) or _nothing(6)


def _counts(each: cash_pb2.QualityKind, look: Look) -> Markup:
    if not each.set_aside or set(_COUNTED_BY.get(each.kind, ())) & set(look.include):
        return escape("counted")
    return Markup('<span class="warn">set aside</span>')


def _quality_note(found: Answers, look: Look, writer: Writer) -> Markup:
    quality = found.quality
    if not quality.balance:
        return Markup("")
    rounding = [f"{money(each.amount, writer).striptags()} {each.currency}" for each in quality.rounding]
    rest = f" Rounding to the currencies' decimals left off {', '.join(rounding)}." if rounding else ""
    return Markup("Clean, the balance is <strong>{}</strong>; with all that may count, {}.{}").format(
        toned(quality.balance, writer), toned(quality.balance_with_all, writer), rest
    )


def _more(count: int) -> Markup:
    if count <= MOST_ROWS:
        return Markup("")
    return escape(f"The newest {MOST_ROWS} of {count}; the chart has all, and so does the API.")


def _counted(reply: cash_pb2.CounterpartiesReply, writer: Writer) -> Markup:
    shown, total = len(reply.counterparties), reply.counterparties_total
    if shown >= total:
        return escape(many(total, "counterparty", writer, "counterparties"))
    return escape(f"The largest {shown} of {writer.number(total)}")


def _turnover(flow: cash_pb2.Flow) -> Decimal:
    return Decimal(flow.cash_in or 0) + Decimal(flow.cash_out or 0)


def _days(each: cash_pb2.Bucket) -> tuple[Any, Any]:
    return from_epoch_us(each.from_us).date(), from_epoch_us(each.before_us - 1).date()


def _gap(each: cash_pb2.Gap) -> str:
    source = cash_pb2.Source.Name(each.source)
    return f"{source} {from_epoch_us(each.from_us):%Y-%m-%d} … {from_epoch_us(each.before_us - 1):%m-%d}"


def _nothing(columns: int) -> Markup:
    return Markup('<tr class="idle"><td colspan="{}" class="none">None in this period</td></tr>').format(
        columns
    )


def texts_of(slots: Mapping[str, Markup]) -> dict[str, str]:
    """As they are kept and sent."""
    return {name: str(text) for name, text in slots.items()}
