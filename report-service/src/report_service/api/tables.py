"""The tables of the pages about feed and prices, as slots: rows change in place, and tables as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlencode

from markupsafe import Markup, escape
from wattbook.clock import from_epoch_us, iso_z, to_epoch_us
from wattbook.periods import DeliveryPeriod
from wattbook.units import CT_PER_EUR, mw_from_kw

from report_service.api.blocks import seconds
from report_service.api.figures import Writer, decimals_needed, time_text
from report_service.api.health import moment
from report_service.api.site import day_address
from report_service.api.slots import Column, Slots
from report_service.domain.feed import Difference, Feed, Listener, Statement, TradingDay
from report_service.domain.prices import DayPrices, ReferencePrice

LISTENER_COLUMNS = (
    Column("state", "State"),
    Column("since", "Since"),
    Column("last", "Last frame"),
    Column("frames", "Frames", hint="Since ingest-service started"),
    Column("connects", "Connects"),
    Column("trouble", "Next"),
)
PRICE_COLUMNS = (
    Column("value", "Reference price", "€/MWh"),
    Column("age", "Age", hint="Since the provider's update"),
    Column("updated", "Provider's update"),
    Column("fetched", "Fetched"),
    Column("delay", "After", hint="From the provider's update to our having it"),
)
KINDS = {
    "recovered": ("Recovered", "only in the file, booked from it"),
    "corrected": ("Corrected", "booked from the file in place of a client's statement"),
    "feed_only": ("Only in the feed", "not in the file"),
    "differs": ("Differs", "the file says something else than the feed or the book"),
    "file_only": ("Refused", "only in the file, not booked"),
    "unconfirmed": ("Unconfirmed", "booked by a client, never stated by the exchange"),
}
_US_PER_S = 1_000_000
_DASH = Markup('<abbr class="unknown" title="{}">–<span class="sr"> ({})</span></abbr>')


def dash(why: str) -> Markup:
    """A value that is not there, and why."""
    return _DASH.format(why, why)


def listener_slots(feed: Feed, writer: Writer, now: datetime) -> Slots:
    """One row a connection."""
    slots: Slots = {}
    for at, each in enumerate(feed.listeners):
        slots.update({f"l{at}.{name}": cell for name, cell in _listener(each, writer, now).items()})
    return slots


def _listener(each: Listener, writer: Writer, now: datetime) -> dict[str, Markup]:
    def at(epoch_us: int, why: str) -> Markup:
        return escape(moment(from_epoch_us(epoch_us), now)) if epoch_us else dash(why)

    tone, symbol, words = ("good", "●", "connected") if each.is_connected else ("bad", "○", "disconnected")
    state = Markup('<span class="{}"><b aria-hidden="true">{}</b> {}</span>').format(tone, symbol, words)
    coming = f"tries again {moment(from_epoch_us(each.next_attempt_us), now)}" if each.next_attempt_us else ""
    return {
        "state": state,
        "since": at(each.since_us, "never yet"),
        "last": at(each.last_frame_us, "none yet"),
        "frames": escape(writer.number(each.frames)),
        "connects": escape(writer.number(each.connects)),
        "trouble": escape(" · ".join(filter(None, (each.trouble, coming)))) or dash("nothing is wrong"),
    }


def kept_slots(feed: Feed, writer: Writer, now: datetime) -> Slots:
    """What is kept and what waits."""
    return {
        "kept.frames": escape(writer.number(feed.frames)),
        "kept.spool": escape(writer.number(feed.spool_depth)),
        "kept.outbox": escape(writer.number(feed.outbox_depth)),
        "kept.quarantined": escape(writer.number(feed.quarantined)),
        "kept.lag": escape(seconds(feed.lag_us)) if feed.last_trade_us else dash("no trade yet"),
        "kept.files": _files_waiting(feed, now),
    }


def _files_waiting(feed: Feed, now: datetime) -> Markup:
    waiting = (
        Markup('<span class="warn">{} since {}: {}</span>').format(
            each.name, moment(from_epoch_us(each.since_us), now), each.waits_for
        )
        for each in feed.files_waiting
    )
    return Markup("<br>").join(waiting) or dash("none waits for over a minute")


def count_slots(found: TradingDay, writer: Writer, now: datetime) -> Slots:
    """How the nightly file and the feed compare, in numbers."""
    file = escape(found.file_name) if found.file_name else dash("the nightly file has not come yet")
    at = escape(moment(from_epoch_us(found.reconciled_us), now)) if found.reconciled_us else Markup("")
    toned = {
        "recovered": (found.recovered, "good" if found.recovered else "even"),
        "corrected": (found.corrected, "good" if found.corrected else "even"),
        "feed_only": (found.feed_only, "warn" if found.feed_only else "even"),
        "differs": (found.differing, "warn" if found.differing else "even"),
        "file_only": (found.file_only, "warn" if found.file_only else "even"),
    }
    slots = {"n.in_both": escape(writer.number(found.in_both)), "n.file": file, "n.at": at}
    for name, (count, tone) in toned.items():
        known = escape(writer.number(count)) if found.is_reconciled else dash("not compared yet")
        slots |= {f"n.{name}": known, f"c:n.{name}": escape(tone)}
    if not found.is_reconciled:
        slots["n.in_both"] = dash("not compared yet")
    return slots | _unconfirmed_slots(found, writer)


def _unconfirmed_slots(found: TradingDay, writer: Writer) -> Slots:
    """Known without a nightly file, too; before it has come, some of it may yet be confirmed."""
    if found.unconfirmed is None:
        return {"n.unconfirmed": dash("the book cannot be asked now"), "c:n.unconfirmed": Markup("even")}
    tone = "warn" if found.unconfirmed and found.is_reconciled else "even"
    return {
        "n.unconfirmed": escape(writer.number(len(found.unconfirmed))),
        "c:n.unconfirmed": escape(tone),
    }


def difference_rows(differences: Iterable[Difference], kind: str, writer: Writer, now: datetime) -> Markup:
    """The rows of a reconciliation, of one kind or of all."""
    rows = [_difference(each, writer, now) for each in differences if kind in ("", each.kind)]
    return Markup("").join(rows)


def _difference(each: Difference, writer: Writer, now: datetime) -> Markup:
    title, _ = KINDS.get(each.kind, (each.kind, ""))
    kind = Markup("{}").format(title)
    if each.kind == "differs":
        decide = Markup('<br><a class="button" href="/corrections?{}">Decide …</a>')
        kind += decide.format(urlencode({"trade_id": each.trade_id}))
    heard, filed = _versions(each, writer, now)
    return Markup(
        '<tr><th scope="row"><code>{}</code></th><td class="kind {}">{}</td>'
        '<td class="said">{}</td><td class="said">{}</td></tr>'
    ).format(each.trade_id, each.kind, kind, heard, filed)


def _versions(each: Difference, writer: Writer, now: datetime) -> tuple[Markup, Markup]:
    """What the feed or the book says, and what the file says, those fields marked that differ."""
    other = each.booked or each.feed
    heard = statement_cell(other, each.file, writer, now) if other else _nothing_said(each, "feed_only")
    filed = statement_cell(each.file, other, writer, now) if each.file else _nothing_said(each, "recovered")
    return (Markup("booked: ") + heard if each.booked else heard), filed


def _nothing_said(each: Difference, kind: str) -> Markup:
    if each.kind == "unconfirmed":
        return escape(each.detail)
    if each.kind == kind:
        return escape("as the exchange said it")  # of a day that was compared before contents were kept
    if each.kind in ("differs", "file_only"):
        return escape(each.detail)
    return dash("the feed did not bring it" if each.kind == "recovered" else "the file does not have it")


def statement_cell(said: Statement, other: Statement | None, writer: Writer, now: datetime) -> Markup:
    """What somebody says of a trade, those fields marked in which the ``other`` says something else."""

    def marked(text: str, *fields: str) -> Markup:
        differs = other is not None and any(getattr(said, name) != getattr(other, name) for name in fields)
        return (Markup("<strong>{}</strong>") if differs else Markup("{}")).format(text)

    hour = said.delivery_hour
    trader = Markup('<a href="{}">{}</a>').format(
        day_address(said.trader_id, said.delivery_day), marked(said.trader_id, "trader_id")
    )
    period = marked(f"{said.delivery_day} {hour:02d}–{hour + 1:02d}", "delivery_day", "delivery_hour")
    mw, eur = mw_from_kw(said.quantity_kw), Decimal(said.price_ct_per_mwh) / CT_PER_EUR
    quantity = writer.number(mw, decimals=decimals_needed([mw], least=0))
    what = marked(f"{said.direction} {quantity} MW", "direction", "quantity_kw")
    price = marked(f"{writer.number(eur, decimals=2)} €/MWh", "price_ct_per_mwh")
    executed = marked(moment(from_epoch_us(said.execution_time_us), now), "execution_time_us")
    return Markup("{} · {}<br>{} · {}<br>executed {}").format(trader, period, what, price, executed)


def price_slots(periods: Sequence[DeliveryPeriod], prices: DayPrices, writer: Writer) -> Slots:
    """One row an hour."""
    slots: Slots = {}
    for at, period in enumerate(periods):
        price = prices.at(to_epoch_us(period.start) // _US_PER_S)
        slots.update({f"p{at}.{name}": cell for name, cell in _price(price, writer).items()})
        slots[f"c:p{at}"] = escape("known" if price else "idle")
    return slots


def _price(price: ReferencePrice | None, writer: Writer) -> dict[str, Markup]:
    if price is None:
        none = dash("no reference price yet")
        return {column.name: none if column.name == "value" else Markup("") for column in PRICE_COLUMNS}
    updated, fetched = from_epoch_us(price.last_update_us), from_epoch_us(price.fetched_us)
    age = Markup('<time class="age alone" datetime="{}" title="as of {}">{}</time>')
    return {
        "value": escape(writer.number(price.value_eur_per_mwh, decimals=_decimals(price))),
        "age": age.format(iso_z(updated), time_text(updated, price.area), time_text(updated, price.area)[:5]),
        "updated": _time(updated, price.area),
        "fetched": _time(fetched, price.area),
        "delay": escape(seconds(price.fetched_us - price.last_update_us)),
    }


def _decimals(price: ReferencePrice) -> int:
    return max(2, min(4, -int(price.value_eur_per_mwh.normalize().as_tuple().exponent)))


def _time(instant: datetime, area: str) -> Markup:
    text = time_text(instant, area)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso_z(instant), text, text[:8])


def hours_of(periods: Sequence[DeliveryPeriod]) -> list[dict[str, str]]:
    """The rows of the table, without what changes."""
    return [
        {"id": f"p{at}", "label": each.label, "start": iso_z(each.start)} for at, each in enumerate(periods)
    ]
