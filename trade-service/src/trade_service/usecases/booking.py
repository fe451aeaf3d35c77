"""Book in groups: whoever waits while one commit waits for the disk shares the next one.

A commit costs a wait for the disk, whatever its size. One thread commits; callers hand it their trades and
wait. It takes all that wait, books them in one transaction, and answers all once that is durable.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

from wattbook import telemetry
from wattbook.bus import Message
from wattbook.clock import Clock, to_epoch_us
from wattbook.db import repeated
from wattbook.errors import Internal, InvalidInput, Unavailable, WattbookError
from wattbook.telemetry.catalogue import GROUP_SIZE
from wattbook.telemetry.metrics import Histogram

from trade_service.domain import Trade
from trade_service.store import TradeStore
from trade_service.usecases.ledger import Commit, Ledger, Outcome, Sender

_log = logging.getLogger(__name__)

GROUP_TRADES = 5_000
REQUEST_TRADES = 10_000
WAITING_TRADES = 100_000
WAITING_REQUESTS = 10_000
RETRY_AFTER_S = 1
_GROUP_SIZE, _STORE = Histogram(GROUP_SIZE), {"store": "trade"}

Announce = Callable[[Commit, str], list[Message]]
"""Makes the events that tell of a commit; the text is the trace that caused it."""


@dataclass(frozen=True, slots=True)
class _Ticket:
    trades: Sequence[Trade]
    sender: Sender
    traceparent: str
    answer: Future[Outcome] = field(default_factory=Future)


class GroupCommit:
    """The one who books. ``book`` may be called from any number of threads."""

    def __init__(
        self,
        store: TradeStore,
        *,
        clock: Clock,
        announce: Announce,
        committed: Callable[[Sequence[Message]], None],
    ) -> None:
        """Book into ``store``; ``committed`` is called with each commit's events, where it has any."""
        self._store = store
        self._clock = clock
        self._announce = announce
        self.committed = committed
        self._waiting: deque[_Ticket] = deque()
        self._waiting_trades = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more, finish what was taken."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def book(self, trades: Sequence[Trade], *, sender: Sender, timeout_s: float) -> Outcome:
        """Book the trades; returns once they are durable.

        Raises:
            InvalidInput: too many at once.
            Unavailable: too many wait, the store cannot be written, or it took longer than ``timeout_s``;
                none or, where only the answer came too late, all of these are booked.
        """
        if len(trades) > REQUEST_TRADES:
            raise InvalidInput(f"at most {REQUEST_TRADES} trades are booked at once")
        if not trades:
            return Outcome([], {})
        ticket = _Ticket(trades, sender, telemetry.current_traceparent())
        self._enqueue(ticket)
        try:
            return ticket.answer.result(timeout_s)
        except (TimeoutError, CancelledError):
            ticket.answer.cancel()  # skipped where its commit has not begun
            raise Unavailable("booking took too long; try again") from None

    def _enqueue(self, ticket: _Ticket) -> None:
        with self._changed:
            if self._stopping:
                raise Unavailable("the service is stopping; try again", retry_after_s=RETRY_AFTER_S)
            full = self._waiting_trades + len(ticket.trades) > WAITING_TRADES
            if full or len(self._waiting) >= WAITING_REQUESTS:
                raise Unavailable("too many bookings are waiting; try again", retry_after_s=RETRY_AFTER_S)
            self._waiting.append(ticket)
            self._waiting_trades += len(ticket.trades)
            self._changed.notify()

    def _run(self) -> None:
        while group := self._next_group():
            taken = [ticket for ticket in group if ticket.answer.set_running_or_notify_cancel()]
            if taken:
                self._settle(taken)

    def _next_group(self) -> list[_Ticket]:
        """All that wait, up to the size of a group, as soon as there is one; empty once stopped."""
        with self._changed:
            while not self._waiting:
                if self._stopping:
                    return []
                self._changed.wait()
            group: list[_Ticket] = []
            size = 0
            while self._waiting and (not group or size + len(self._waiting[0].trades) <= GROUP_TRADES):
                ticket = self._waiting.popleft()
                size += len(ticket.trades)
                group.append(ticket)
            self._waiting_trades -= size
            return group

    def _settle(self, group: Sequence[_Ticket]) -> None:
        """Commit a group and answer everybody in it."""
        try:
            outcomes = self._commit(group)
        except WattbookError as error:
            _answer_all(group, error)
        except Exception as error:
            if len(group) > 1:  # let the fault of one not be everybody's
                _log.warning("a group failed; committing one by one", extra={"reason": repr(error)})
                for ticket in group:
                    self._settle([ticket])
            else:
                _log.exception("booking failed")
                _answer_all(group, Internal("internal error"))
        else:
            for ticket, outcome in zip(group, outcomes, strict=True):
                ticket.answer.set_result(outcome)

    @repeated
    def _commit(self, group: Sequence[_Ticket]) -> list[Outcome]:
        now_us = to_epoch_us(self._clock.now())
        _GROUP_SIZE.record(sum(len(ticket.trades) for ticket in group), _STORE)
        causes = [ticket.traceparent for ticket in group]
        events: Sequence[Message] = ()
        with telemetry.joined("book group", causes), self._store.booking() as booking:
            before = booking.head()
            booked = booking.booked([trade.trade_id for ticket in group for trade in ticket.trades])
            ledger = Ledger(booked, booking, next_seq=before.last_seq + 1, now_us=now_us)
            outcomes = [ledger.enter(ticket.trades, ticket.sender) for ticket in group]
            if ledger.confirmed:
                booking.confirm(ledger.confirmed)
            if ledger.decided:
                booking.settle(ledger.decided, at_us=now_us)
            if ledger.differing:
                booking.keep(ledger.differing)
            if ledger.rows:
                commit = ledger.close(before)
                events = booking.add(
                    commit.entries,
                    lambda: self._announce(commit, telemetry.current_traceparent()),
                    digest=commit.after.digest,
                )
        if events:
            self.committed(events)
        return outcomes


def _answer_all(group: Sequence[_Ticket], error: WattbookError) -> None:
    for ticket in group:
        # Each its own, since raising the same error in many threads mixes their tracebacks.
        ticket.answer.set_exception(type(error)(error.message, retry_after_s=error.retry_after_s))
