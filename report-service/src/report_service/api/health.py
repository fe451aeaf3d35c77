"""What is said of the feed on every page: the pill in the header, and how complete a day is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import blake2b

from markupsafe import Markup, escape
from wattbook.clock import from_epoch_us
from wattbook.periods import DEFAULT_AREA, area_of

from report_service.api.figures import Writer, day_text
from report_service.api.slots import Slots
from report_service.api.streams import Snapshot
from report_service.domain.feed import Feed, Standing, TradingDay
from report_service.usecases.feed import FeedBoard, FeedWatch
from report_service.usecases.model import BookState

_DAY = timedelta(days=1)
_US_PER_MIN = 60_000_000
_ZONE = area_of(DEFAULT_AREA).zone


@dataclass(frozen=True, slots=True)
class Said:
    """A state in three ways at once: colour, symbol and words."""

    tone: str
    symbol: str
    words: Markup

    def slots(self, name: str, kind: str) -> Slots:
        """The class and the content of an element."""
        text = Markup('<b aria-hidden="true">{}</b><span class="words">{}</span>')
        return {f"c:{name}": escape(f"{kind} {self.tone}"), name: text.format(self.symbol, self.words)}


def moment(instant: datetime, now: datetime) -> str:
    """``14:03:07`` on the exchange's wall clock, with the day where that is not today."""
    local, today = instant.astimezone(_ZONE), now.astimezone(_ZONE).date()
    clock = f"{local:%H:%M:%S}"
    return clock if local.date() == today else f"{day_text(local.date())[:-5]}, {clock}"


def joined(figures: Snapshot, said: Slots) -> Snapshot:
    """A page's figures together with what is said of the feed; the same version only while both are."""
    texts = {name: str(text) for name, text in said.items()}
    mark = blake2b(repr(sorted(texts.items())).encode(), digest_size=8).hexdigest()
    return Snapshot(figures.version + mark, {**figures.slots, **texts})


def pill_slots(watch: FeedWatch, book: BookState, now: datetime) -> Slots:
    """The header's pill."""
    return _pill(watch, book, now).slots("pill", "pill")


def pill_mark(watch: FeedWatch, book: BookState) -> tuple[object, ...]:
    """Equal while the pill says the same, its seconds aside; for pages that are kept."""
    feed = watch.feed
    said = (feed.standing, feed.connected, feed.last_frame_us // _US_PER_MIN) if feed is not None else ()
    return (watch.is_used, watch.lost_since, book, *said)


def _pill(watch: FeedWatch, book: BookState, now: datetime) -> Said:
    if book.lost_since:
        return Said("off", "○", _words("not live", f"trade book away since {moment(book.lost_since, now)}"))
    feed = watch.feed
    if not watch.is_used or (feed is not None and feed.standing is Standing.NONE):
        return Said("none", "–", Markup("no feed configured"))
    if watch.lost_since:
        return Said("off", "○", _words("feed not known", f"since {moment(watch.lost_since, now)}"))
    return _feed(feed, now) if feed is not None else Said("none", "–", Markup("feed not known"))


def _feed(feed: Feed, now: datetime) -> Said:
    def at(epoch_us: int) -> str:
        return moment(from_epoch_us(epoch_us), now)

    if feed.standing is Standing.DISCONNECTED:
        words = ["feed disconnected", f"since {at(feed.since_us)}"]
        if feed.next_attempt_us:
            words.append(f"next try {at(feed.next_attempt_us)}")
        return Said("off", "○", _words(*words))
    if feed.standing is Standing.SILENT:
        return Said("quiet", "◐", _words("feed silent", f"since {at(feed.since_us)}"))
    count = len(feed.listeners)
    words = [] if feed.connected == count else [f"{feed.connected} of {count} lines"]
    if feed.last_frame_us:
        words.append(at(feed.last_frame_us))
    return Said("on", "●", _words("feed live", *words))


def _words(first: str, *more: str) -> Markup:
    """The first words stay on a phone, the rest only where there is room."""
    rest = "".join(f" · {each}" for each in more)
    return Markup('{}<span class="rest">{}</span>').format(first, rest)


def badge_slots(board: FeedBoard, day: date, writer: Writer, now: datetime) -> Slots:
    """How complete a trading day is, with what its nightly file brought."""
    watch, found = board.watch, board.day(day)
    before = board.day(day - _DAY)
    if not watch.is_used or (watch.feed is not None and watch.feed.standing is Standing.NONE):
        nothing = found is None or not (found.is_reconciled or found.complete_to_us)
        if nothing:
            return {"c:complete": escape("badge none"), "complete": Markup("")}
    said = _completeness(found, watch, now)
    words = [said.words, *_from_file(found, writer)]
    tone = said.tone
    if before is not None and before.has_gap:
        words.append(escape(f"gap on {day_text(before.day)[:-5]}"))
        tone = "warn" if tone == "good" else tone
    if watch.lost_since:
        tone += " stale"
    return Said(tone, said.symbol, Markup(" · ").join(words)).slots("complete", "badge")


def _completeness(found: TradingDay | None, watch: FeedWatch, now: datetime) -> Said:
    if found is None or not found.complete_to_us:
        return Said("unknown", "–", Markup("completeness not known"))
    if found.is_complete:
        return Said("good", "✓", Markup("complete"))
    words = Markup("complete to {}").format(moment(from_epoch_us(found.complete_to_us), now))
    if found.has_gap:
        return Said("warn", "▲", words + Markup(", then a gap"))
    if watch.feed is not None and watch.feed.standing is Standing.DISCONNECTED:
        return Said("warn", "▲", words)
    return Said("good", "✓", words)


def _from_file(found: TradingDay | None, writer: Writer) -> list[Markup]:
    if found is None:
        return []
    counted = (
        (found.recovered, "recovered"),
        (found.feed_only, "only in the feed"),
        (found.differing, "differing"),
    )
    return [escape(f"{writer.number(count)} {words}") for count, words in counted if count]
