"""Following the bank: who asks, what is asked next, and when."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import WattbookError
from wattbook.retry import Backoff, Retrying

from cash_service.clients.bank import Bank, Failed
from cash_service.clients.dialects import ORIGINAL, WATTBOOK, dialect_of, read_companies, read_rate_rows
from cash_service.domain.cleaning import Source
from cash_service.domain.periods import DAY_US
from cash_service.store.bank import BankStore, Body, Stream
from cash_service.store.windows import Windows
from cash_service.usecases.reading import clean_again, take

_log = logging.getLogger(__name__)

AUTO = "auto"
LEASE_S = 15.0
_LISTS_AGAIN = 5  # of how often the open window is looked at
AFTER_A_FAULT_S = 5.0
STOP_S = 15.0
_NO_MORE = 3  # failures in a row by which a bank of the dialect ``original`` says that there is no more
_BACKOFF = Backoff(first_s=0.5, most_s=30.0)


@dataclass
class _Due:
    """When something is asked next, in seconds of the steady clock."""

    at_s: float = 0.0
    retrying: Retrying = field(default_factory=lambda: Retrying(_BACKOFF))
    etag: str = ""


@dataclass(frozen=True)
class Pace:
    """How often what is asked, in seconds; ``keep_days``: how long replaced answers are kept."""

    follow_s: float = 60.0
    lists_s: float = 300.0
    keep_days: float = 7.0

    @classmethod
    def of(cls, *, follow_s: float, keep_days: float) -> Pace:
        """The lists are asked for less often than the open window."""
        return cls(follow_s, follow_s * _LISTS_AGAIN, keep_days)


class Follower:
    """Asks the bank, one thing after the other; of several replicas the one that leads."""

    def __init__(
        self, *, bank: Bank, store: BankStore, windows: Windows, clock: Clock, holder: str,
        dialect: str = AUTO, pace: Pace | None = None, committed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Ask ``bank`` as ``holder``; ``committed`` is called after each commit that has an event."""
        self.leads = False
        self._bank, self._store, self._windows, self._clock = bank, store, windows, clock
        self._holder, self._dialect, self._pace, self._committed = holder, dialect, pace or Pace(), committed
        self._companies, self._rates = _Due(), _Due()
        self._sources = {source: _Due() for source in Source}
        self._again: dict[Source, list[int]] = {source: [] for source in Source}
        self._again_at_us = 0
        self._tidied_us = 0
        self._lease_until_s = 0.0
        self._speaks = ""  # its dialect, once its companies are known
        self._streams: dict[Source, Stream] = {}
        self._newest: dict[Source, int] = {}

    def turn(self) -> float:
        """Do what is due; the seconds until something is again.

        Raises:
            Unavailable: the store cannot be used now; nothing is lost by that.
        """
        if not self._lead():
            return LEASE_S / 3
        self._ask_lists()
        if not self._speaks:
            return self._wait_s(self._companies)
        source = self._next_source()
        if source is not None:
            self._ask_payments(source)
            return 0.0
        if self._tidy():
            return 0.0
        return self._wait_s(self._companies, self._rates, *self._sources.values())

    def resign(self) -> None:
        """Let another ask."""
        if self.leads:
            self.leads = False
            self._store.resign(self._holder)

    def _lead(self) -> bool:
        """Keep the lease, with a third of it to spare; a new leader first reads what was left unread."""
        steady_s = self._clock.monotonic_s()
        if self.leads and steady_s < self._lease_until_s - LEASE_S / 3:
            return True
        now_us = self._now_us()
        led, until_us = self.leads, now_us + int(LEASE_S * 1e6)
        self.leads = self._store.lead(self._holder, now_us=now_us, until_us=until_us)
        self._lease_until_s = steady_s + LEASE_S
        if self.leads and not led:
            _log.info("following the bank")
            self._streams, self._newest = self._store.streams(), self._store.newest_complete()
            self._speaks = self._store.dialect()
            for body in self._store.unread():
                try:
                    self._take(body)
                except Failed as error:
                    self._failed(body.source, error)
        return self.leads

    def _ask_lists(self) -> None:
        for due, ask in ((self._companies, self._ask_companies), (self._rates, self._ask_rates)):
            if self._clock.monotonic_s() < due.at_s:
                continue
            try:
                ask()
                due.retrying.worked()
                due.at_s = self._clock.monotonic_s() + self._pace.lists_s
            except Failed as error:
                _log.warning(
                    "a list of the bank failed", extra={"reason": error.reason, "detail": str(error)}
                )
                due.at_s = self._clock.monotonic_s() + due.retrying.failed()
                if due is self._rates:
                    self._store.rates_failed(str(error))

    def _ask_companies(self) -> None:
        content = self._bank.companies().content or b""
        dialect = dialect_of(content) if self._dialect == AUTO else self._dialect
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != self._store.companies_sha256():
            self._store.list_companies(read_companies(content), sha256=sha256)
            self._committed()
        if dialect != self._speaks:
            self._store.know_dialect(dialect)
            self._speaks = dialect

    def _ask_rates(self) -> None:
        rows = read_rate_rows(self._bank.rates().content or b"")
        self._store.take_rates(json.dumps(sorted(rows)), now_us=self._now_us())
        self._committed()

    def _next_source(self) -> Source | None:
        """Of the sources that are due, the one that is further behind."""
        now_s = self._clock.monotonic_s()
        due = [source for source, each in self._sources.items() if each.at_s <= now_s]
        return min(due, key=lambda source: self._newest[source], default=None)

    def _ask_payments(self, source: Source) -> None:
        due, dialect = self._sources[source], self._speaks
        cursor = self._streams[source].cursor
        try:
            answer = self._bank.payments(source, cursor=cursor, etag=due.etag)
            if not cursor and answer.first:  # the bank may go on where an earlier store of ours left off
                cursor = answer.first
                answer = self._bank.payments(source, cursor=cursor)
            if answer.content is None:
                self._at_end(source)
                return
            due.etag = answer.etag if dialect == WATTBOOK else ""
            body = self._store.write_down(
                source, answer.content, dialect=dialect, received_us=self._now_us(), cursor=cursor,
                etag=due.etag, durable=dialect == ORIGINAL,
            )  # fmt: skip
            self._take(body)
        except Failed as error:
            self._failed(source, error)
            return
        due.retrying.worked()
        if dialect == WATTBOOK and self._streams[source].cursor == cursor:
            self._at_end(source)

    def _take(self, body: Body) -> None:
        """Read an answer that is written down, and remember where to go on. Raises Failed."""
        read = take(self._store, self._windows, body)
        known = self._streams[body.source]
        if read.changed:
            self._committed()
        else:
            self._store.moved(body.source, cursor=read.cursor, now_us=self._now_us(), has_end=known.has_end)
        if read.cursor != known.cursor:
            self._sources[body.source].etag = ""
        self._newest[body.source] += 1
        self._streams[body.source] = known._replace(cursor=read.cursor, trouble="")

    def _at_end(self, source: Source) -> None:
        """All that there is was had: come again in a while."""
        known, due = self._streams[source], self._sources[source]
        if not known.has_end or known.trouble:
            self._store.moved(source, cursor=known.cursor, now_us=self._now_us(), has_end=True)
            self._streams[source] = known._replace(has_end=True, trouble="")
        due.retrying.worked()
        due.at_s = self._clock.monotonic_s() + self._pace.follow_s

    def _failed(self, source: Source, error: Failed) -> None:
        due, known = self._sources[source], self._streams[source]
        wait_s = max(due.retrying.failed(), min(error.retry_after_s or 0.0, _BACKOFF.most_s))
        has_end = known.has_end
        if due.retrying.failures >= _NO_MORE and self._speaks == ORIGINAL:
            wait_s, has_end = max(wait_s, self._pace.follow_s), True
        due.at_s, due.etag = self._clock.monotonic_s() + wait_s, ""
        _log.warning(
            "the bank failed",
            extra={"source": source.name.lower(), "reason": error.reason, "detail": str(error),
                   "again_in_s": round(wait_s, 3)},
        )  # fmt: skip
        self._store.failed(
            source, reason=error.reason, trouble=str(error), now_us=self._now_us(), has_end=has_end
        )
        self._streams[source] = known._replace(trouble=str(error), has_end=has_end)

    def _tidy(self) -> bool:
        """One piece of what has time; whether there may be more."""
        for had in self._store.stale(limit=10):
            if clean_again(self._store, self._windows, had):
                self._committed()
                return True
        now_us = self._now_us()
        self._tidied_us = self._tidied_us or now_us
        if now_us - self._tidied_us > DAY_US:
            self._tidied_us = now_us
            self._store.forget_superseded(before_us=now_us - int(self._pace.keep_days * DAY_US))
            if trouble := self._windows.check(now_us=now_us):
                _log.error("balances are wrong", extra={"detail": trouble})
        return self._look_again(now_us)

    def _look_again(self, now_us: int) -> bool:
        """Once a day ask for every complete window again, one after the other."""
        if self._speaks != WATTBOOK:
            return False
        if now_us >= self._again_at_us:
            first, self._again_at_us = not self._again_at_us, now_us + DAY_US
            if not first:
                self._again = {source: self._store.complete_windows(source) for source in Source}
        for source, numbers in self._again.items():
            if numbers:
                self._look_at(source, numbers.pop())
                return True
        return False

    def _look_at(self, source: Source, number: int) -> None:
        """Ask for each page of a window; from one that is another now on, for all of it."""
        try:
            for cursor, known in self._store.asked_by(source, number):
                etag = known
                answer = self._bank.payments(source, cursor=cursor, etag=etag)
                if answer.content is None:
                    continue
                body = self._store.write_down(
                    source, answer.content, dialect=WATTBOOK, received_us=self._now_us(),
                    cursor=cursor, etag=answer.etag,
                )  # fmt: skip
                if take(self._store, self._windows, body).changed:
                    self._committed()
        except Failed as error:
            self._failed(source, error)

    def _wait_s(self, *due: _Due) -> float:
        return max(0.0, min(each.at_s for each in due) - self._clock.monotonic_s())

    def _now_us(self) -> int:
        return to_epoch_us(self._clock.now())


class Following:
    """The thread that turns the follower."""

    def __init__(self, follower: Follower) -> None:
        """Turn ``follower``, once started."""
        self._follower = follower
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End with the window at hand, and let another replica follow."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                wait_s = self._follower.turn()
            except WattbookError as error:
                _log.warning("following the bank waits", extra={"reason": str(error)})
                wait_s = AFTER_A_FAULT_S
            except Exception:
                _log.exception("following the bank failed; it goes on")
                wait_s = AFTER_A_FAULT_S
            if wait_s:
                self._stopping.wait(min(wait_s, 1.0))
        try:
            self._follower.resign()
        except WattbookError as error:
            _log.warning("the lease runs out by itself", extra={"reason": str(error)})
