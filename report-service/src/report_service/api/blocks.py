"""The desk's health in five blocks: feed, completeness, quarantine, reference prices, their budget."""

from __future__ import annotations

from datetime import date, datetime

from markupsafe import Markup, escape
from wattbook.clock import from_epoch_s, from_epoch_us

from report_service.api.figures import Writer
from report_service.api.health import Completeness, Said, completeness, moment
from report_service.api.slots import Slots
from report_service.domain.feed import Feed, Standing
from report_service.usecases.feed import FeedBoard, FeedWatch
from report_service.usecases.prices import PriceState

LOW_HOUR_BUDGET = 50
_S_PER_MIN = 60
_S_PER_HOUR = 3_600
_S_PER_DAY = 86_400
_US_PER_S = 1_000_000
_NOT_KNOWN = ("idle", "–", "not known")


def block_slots(feed: FeedBoard, prices: PriceState, *, day: date, writer: Writer, now: datetime) -> Slots:
    """What the blocks say; ``day`` is the trading day whose completeness is shown."""
    watch = feed.watch
    return {
        **_feed(watch, now),
        **_complete(completeness(feed, day, writer, now)),
        **_quarantine(watch, writer, now),
        **_prices(prices, writer, now),
        **_budget(prices, writer),
    }


def block(name: str, tone: str, symbol: str, words: str | Markup, note: str | Markup = "") -> Slots:
    """A block's class, its large words and its note."""
    said = Said(tone, symbol, escape(words)).slots(f"b.{name}", "block")
    return {**said, f"b.{name}.note": escape(note)}


def _feed(watch: FeedWatch, now: datetime) -> Slots:
    feed = watch.feed
    if not watch.is_used or (feed is not None and feed.standing is Standing.NONE):
        return block("feed", "idle", "–", "none", "no feed configured")
    if feed is None:
        return block("feed", *_NOT_KNOWN, "ingest-service has not answered yet")
    note = _feed_note(feed, now)
    if watch.lost_since:
        return block("feed", "warn", "○", "not known", f"since {moment(watch.lost_since, now)}; then {note}")
    tone, symbol = {
        Standing.LIVE: ("good", "●"),
        Standing.SILENT: ("warn", "◐"),
    }.get(feed.standing, ("bad", "○"))
    return block("feed", tone, symbol, feed.standing.value, note)


def _feed_note(feed: Feed, now: datetime) -> str:
    since = f"since {moment(from_epoch_us(feed.since_us), now)}" if feed.since_us else ""
    if feed.standing is Standing.DISCONNECTED:
        if feed.next_attempt_us:
            since += f", next try {moment(from_epoch_us(feed.next_attempt_us), now)}"
        return since
    if feed.standing is Standing.SILENT or not feed.last_frame_us:
        return since
    last = f"last frame {moment(from_epoch_us(feed.last_frame_us), now)}"
    return f"{last}, lag {seconds(feed.lag_us)}" if feed.last_trade_us else last


def _complete(found: Completeness) -> Slots:
    words = found.words.removeprefix("complete ") if found.words.startswith("complete to") else found.words
    return block(
        "complete", found.tone, found.symbol, words, ", ".join(filter(None, (*found.notes, found.outlook)))
    )


def _quarantine(watch: FeedWatch, writer: Writer, now: datetime) -> Slots:
    if watch.feed is None:
        return block("quarantine", *_NOT_KNOWN)
    count = watch.feed.quarantined
    if watch.lost_since:
        return block(
            "quarantine", "idle stale", "○", writer.number(count), f"known at {moment(watch.lost_since, now)}"
        )
    tone, symbol = ("warn", "▲") if count else ("good", "✓")
    note = "wait for a decision" if count > 1 else "waits for a decision" if count else "nothing is set aside"
    return block("quarantine", tone, symbol, writer.number(count), note)


def _prices(prices: PriceState, writer: Writer, now: datetime) -> Slots:
    poller = prices.poller
    if not prices.is_used:
        return block("prices", "idle", "–", "none", "no provider configured")
    cycle = f"cycle {moment(from_epoch_s(poller.cycle_start_s), now)[:-3]}" if poller.cycle_start_s else ""
    if prices.lost_since:
        note = f"since {moment(prices.lost_since, now)}" + (f"; {cycle}" if cycle else "")
        return block("prices", "warn", "○", "not known", note)
    if poller.trouble:
        since = moment(from_epoch_us(poller.trouble_since_us), now)
        return block("prices", "bad", "▼", "in trouble", f"since {since}: {poller.trouble}")
    if not poller.cycle_start_s:
        return block("prices", *_NOT_KNOWN, "no cycle seen yet")
    fresh, tradable = writer.number(poller.periods_fresh), writer.number(poller.periods_tradable)
    return block("prices", "good", "●", cycle, f"{fresh} of {tradable} tradable hours fresh")


def _budget(prices: PriceState, writer: Writer) -> Slots:
    if not prices.is_used:
        return block("budget", "idle", "–", "none", "no provider configured")
    minute, hour = prices.poller.minute_budget_left, prices.poller.hour_budget_left
    is_low = hour < LOW_HOUR_BUDGET  # a minute's is spent whole after every publication
    words = Markup('{}<span class="of"> · {}</span>').format(writer.number(minute), writer.number(hour))
    note = "requests left this minute · hour"
    return block("budget", "warn" if is_low else "good", "▲" if is_low else "✓", words, note)


def seconds(us: int) -> str:
    """A wait in words, as exact as it matters."""
    s = us / _US_PER_S
    if abs(s) < 10:
        return f"{s:.1f} s".replace("-", "\N{MINUS SIGN}")
    if s < 2 * _S_PER_MIN:
        return f"{s:.0f} s"
    return f"{s / _S_PER_MIN:.0f} min"


def age_text(us: int) -> str:
    """How old something is, in the largest unit that it is two of."""
    s = max(us, 0) // _US_PER_S
    for unit_s, unit in ((_S_PER_DAY, "days"), (_S_PER_HOUR, "h"), (_S_PER_MIN, "min")):
        if s >= 2 * unit_s:
            return f"{s // unit_s} {unit}"
    return f"{s} s"
