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

from trade_service.domain import BookedRow, Result, Trade, different_fields
from trade_service.store import TradeStore

_log = logging.getLogger(__name__)

GROUP_TRADES = 5_000
REQUEST_TRADES = 10_000
WAITING_TRADES = 100_000
WAITING_REQUESTS = 10_000
RETRY_AFTER_S = 1
_GROUP_SIZE, _STORE = Histogram(GROUP_SIZE), {"store": "trade"}
_ADDED, _DUPLICATE, _CONFLICT = int(Result.ADDED), int(Result.DUPLICATE), int(Result.CONFLICT)

Announce = Callable[[Sequence[BookedRow], str], list[Message]]
"""Makes the events that tell of a commit's trades; the text is the trace that caused them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A :class:`Result` a trade, in order, and by index why one is a conflict."""

    results: list[int]
    reasons: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Ticket:
    trades: Sequence[Trade]
    source: int
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

    def book(self, trades: Sequence[Trade], *, source: int, timeout_s: float) -> Outcome:
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
        ticket = _Ticket(trades, source, telemetry.current_traceparent())
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
        added: list[BookedRow] = []
        _GROUP_SIZE.record(sum(len(ticket.trades) for ticket in group), _STORE)
        causes = [ticket.traceparent for ticket in group]
        with telemetry.joined("book group", causes), self._store.booking() as booking:
            next_seq = booking.last_seq() + 1
            booked = booking.booked([trade.trade_id for ticket in group for trade in ticket.trades])
            outcomes = [_decide(ticket, booked, added, next_seq, now_us) for ticket in group]
            if added:
                events = booking.add(added, lambda: self._announce(added, telemetry.current_traceparent()))
        if added:
            self.committed(events)
        return outcomes


def _decide(
    ticket: _Ticket, booked: dict[str, Trade], added: list[BookedRow], next_seq: int, now_us: int
) -> Outcome:
    """What becomes of each trade; new ones join ``booked`` and ``added``, as if each were its own commit."""
    results: list[int] = []
    reasons: dict[int, str] = {}
    ending = (now_us, ticket.source)
    next_seq += len(added)
    for index, trade in enumerate(ticket.trades):
        there = booked.get(trade[0])
        if there is None:
            booked[trade[0]] = trade
            added.append((next_seq, *trade, *ending))
            next_seq += 1
            results.append(_ADDED)
        elif differences := different_fields(there, trade):
            results.append(_CONFLICT)
            reasons[index] = f"already booked with another {', '.join(differences)}"
        else:
            results.append(_DUPLICATE)
    return Outcome(results, reasons)


def _answer_all(group: Sequence[_Ticket], error: WattbookError) -> None:
    for ticket in group:
        # Each its own, since raising the same error in many threads mixes their tracebacks.
        ticket.answer.set_exception(type(error)(error.message, retry_after_s=error.retry_after_s))
