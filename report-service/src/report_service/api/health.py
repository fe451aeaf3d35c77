"""What is said of the feed on every page: the pill in the header, and how complete a day is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import blake2b

from markupsafe import Markup, escape
from wattbook.clock import from_epoch_us
from wattbook.periods import DEFAULT_AREA, area_of

from report_service.api.figures import Writer, day_text
from report_service.api.slots import Slots
from report_service.api.streams import Snapshot
from report_service.domain.feed import Feed, Standing, TradingDay, WaitingFile
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


def notice_slots(left_min: int | None) -> Slots:
    """What stands on every page while the gateway is away, and sessions go on for ``left_min`` at most."""
    if left_min is None:
        return {"notice": Markup("")}
    minutes = "1 minute" if left_min == 1 else f"{left_min} minutes"
    words = f"The gateway, where people sign in, cannot be reached. You stay signed in for {minutes} at most."
    return {"notice": escape(words)}


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


@dataclass(frozen=True, slots=True)
class Completeness:
    """How complete a trading day is: one state, with one colour, wherever it is said."""

    tone: str
    symbol: str
    words: str
    notes: tuple[str, ...] = ()
    outlook: str = ""


_NOT_KNOWN = Completeness("idle", "–", "not known")
_FILE_TO_COME = "the nightly file is still to come"


def completeness(board: FeedBoard, day: date, writer: Writer, now: datetime) -> Completeness:
    """The state of a trading day.

    Good only where nothing is missing so far and nothing waits for a look, no file in the drop folder either
    while the day's is still to come; what was known before its owner went away is ``stale``.
    """
    watch, found, before = board.watch, board.day(day), board.day(day - _DAY)
    is_reconciled = found is not None and found.is_reconciled
    files = watch.feed.files_waiting if watch.feed is not None and not is_reconciled else ()
    outlook = "" if is_reconciled else _file_waits(files[0], now) if files else _FILE_TO_COME
    if found is None or not (found.complete_to_us or found.is_reconciled):
        why = "nobody listened" if found is not None else "not asked yet"
        return replace(_NOT_KNOWN, notes=(why,), outlook=outlook if files else "")
    notes = _notes(found, writer)
    if files:
        notes.append("1 file waits" if len(files) == 1 else f"{writer.number(len(files))} files wait")
    if before is not None and before.has_gap:
        notes.append(f"gap on {day_text(before.day)[:-5]}")
    is_cut = watch.feed is not None and watch.feed.standing is Standing.DISCONNECTED
    waits = found.has_gap or found.to_look_at or files or (is_cut and not found.is_complete)
    tone, symbol = ("warn", "▲") if waits or (before is not None and before.has_gap) else ("good", "✓")
    if watch.lost_since:
        tone, symbol = "idle stale", "○"
        notes.append(f"known at {moment(watch.lost_since, now)}")
    return Completeness(tone, symbol, _complete_to(found, now), tuple(notes), outlook)


def _file_waits(file: WaitingFile, now: datetime) -> str:
    return f"{file.name} waits since {moment(from_epoch_us(file.since_us), now)}: {file.waits_for}"


def _complete_to(found: TradingDay, now: datetime) -> str:
    if found.is_complete:
        return "complete"
    if not found.complete_to_us:
        return "not complete"
    return f"complete to {moment(from_epoch_us(found.complete_to_us), now)}"


def badge_slots(board: FeedBoard, day: date, writer: Writer, now: datetime) -> Slots:
    """How complete a trading day is, beside its date."""
    watch = board.watch
    found = completeness(board, day, writer, now)
    is_known = found.words != _NOT_KNOWN.words
    if not is_known and (
        not watch.is_used or (watch.feed is not None and watch.feed.standing is Standing.NONE)
    ):
        return {"c:complete": escape("badge none"), "complete": Markup("")}
    words = [found.words, *found.notes] if is_known else ["completeness not known"]
    return Said(found.tone, found.symbol, escape(" · ".join(words))).slots("complete", "badge")


def _notes(found: TradingDay, writer: Writer) -> list[str]:
    counted = ((found.recovered, "recovered"), (found.to_look_at, "to look at"))
    notes = [f"{writer.number(count)} {words}" for count, words in counted if count]
    if found.has_gap:
        notes.insert(0, "a gap follows")
    return notes
