"""What becomes of statements that are booked together: a commit as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trade_service.domain import (
    BookedRow,
    BookedTrade,
    Decision,
    Differing,
    Head,
    Result,
    Source,
    Speaker,
    Trade,
    chained_digest,
    confirmed_by,
    decide,
    different_fields,
    trade_in,
)
from trade_service.store import Booking, Entries

_ADDED, _DUPLICATE, _CONFLICT = int(Result.ADDED), int(Result.DUPLICATE), int(Result.CONFLICT)

_CONFLICT_ONLY = "conflict"
_NOT_STATED = (
    "the exchange has not stated it so; what it stated otherwise than it stands in the book is in "
    "/v1/trades/differing"
)
# Of a row and of a trade, what must be equal for sure; flags and the local day follow from it.
_SAME_FIELDS = Trade._fields.index("delivery_day")
_SAME = slice(1, 1 + _SAME_FIELDS)
_CONFIRMED_BY = BookedTrade._fields.index("confirmed_by")
_SOURCE, _FILE = BookedTrade._fields.index("source"), int(Source.FILE)


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit tells: its rows, the contents that some of them replaced, and how far the book is."""

    entries: Entries
    before: Head
    after: Head


@dataclass(frozen=True, slots=True)
class Sender:
    """Who states trades: by which source, for whom, under which name.

    ``sees`` is the one trader whose trades they see; None where they see all.
    """

    source: int
    speaker: Speaker = Speaker.CLIENT
    author: str = ""
    sees: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A :class:`Result` a trade, in order; by index why one is a conflict, and which corrected the book.

    To the exchange also, by index, what is booked where its statement is a conflict.
    """

    results: list[int]
    reasons: dict[int, str]
    corrected: Sequence[int] = ()
    booked: dict[int, BookedRow] = field(default_factory=dict)


class Ledger:
    """A commit as it grows: each trade is settled as if it were a commit of its own."""

    def __init__(
        self,
        booked: dict[str, BookedRow],
        booking: Booking,
        *,
        next_seq: int,
        now_us: int,
    ) -> None:
        """``booked``: the rows of all ids that are stated, as far as ``booking`` finds them in the book."""
        self._booked = booked
        self._booking = booking
        self.differing: list[Differing] = []
        self.decided: dict[str, str] = {}
        self._first_seq = next_seq
        self._now_us = now_us
        self.rows: list[BookedRow] = []
        self._replaced: dict[int, BookedRow] = {}
        self.confirmed: dict[int, int] = {}

    def enter(self, trades: Sequence[Trade], sender: Sender) -> Outcome:
        """What becomes of each trade that somebody states."""
        results: list[int] = []
        reasons: dict[int, str] = {}
        corrected: list[int] = []
        booked, rows = self._booked, self.rows
        by_client = sender.speaker is Speaker.CLIENT
        if sender.speaker is Speaker.ACCEPTED:
            return self._accept_all(trades, sender)
        ending = self._ending(sender)
        next_seq = self._first_seq + len(rows)
        for index, trade in enumerate(trades):
            there = booked.get(trade[0])
            if there is None:
                booked[trade[0]] = row = (next_seq, *trade, *ending)
                rows.append(row)
                next_seq += 1
                results.append(_ADDED)
                continue
            if there[_SAME] == trade[:_SAME_FIELDS] and (by_client or there[_CONFIRMED_BY]):
                results.append(_DUPLICATE)  # by far the most of those that are booked
                continue
            result, reason = self._settle(there, trade, sender)
            if reason:
                reasons[index] = reason
            elif result == _ADDED:
                corrected.append(index)
                next_seq += 1
            results.append(result)
        outcome = Outcome(results, reasons, corrected)
        if sender.speaker is Speaker.EXCHANGE and sender.source == _FILE:
            outcome = self._told_to_exchange(trades, outcome)
        return outcome

    def _told_to_exchange(self, trades: Sequence[Trade], outcome: Outcome) -> Outcome:
        """With what is booked where a row is a conflict, and rows that a file corrected before.

        So that a file that is sent again, since its sender was killed, has the same answer.
        """
        shown = {index: self._booked[trades[index].trade_id] for index in outcome.reasons}
        again: dict[int, int] = {}  # by index, the number of what a file has booked before
        for index, result in enumerate(outcome.results):
            row = self._booked[trades[index].trade_id]
            if result == _DUPLICATE and row[_SOURCE] == _FILE:
                again[index] = row[0]
        numbers = {seq for seq in again.values() if seq in self._replaced}
        if again:
            numbers |= self._booking.corrections(min(again.values()), max(again.values()))
        corrected = [*outcome.corrected, *(index for index, seq in again.items() if seq in numbers)]
        return Outcome(outcome.results, outcome.reasons, sorted(corrected), shown)

    def close(self, before: Head) -> Commit:
        """The commit as it is written: its last row keeps the digest after it."""
        last_seq = self.rows[-1][0]
        digest = chained_digest(before.digest, self.rows)
        self.rows[-1] = (*self.rows[-1][:-1], digest)
        entries = Entries(self.rows, self._replaced, self.confirmed)
        return Commit(entries, before, Head(before.epoch, last_seq, digest))

    def _ending(self, sender: Sender, stated_by: int = 0) -> tuple[int, int, int, str, str]:
        if sender.speaker is not Speaker.CLIENT:
            stated_by = stated_by or sender.source
        return self._now_us, sender.source, stated_by, sender.author, ""

    def _accept_all(self, trades: Sequence[Trade], sender: Sender) -> Outcome:
        results: list[int] = []
        reasons: dict[int, str] = {}
        for index, trade in enumerate(trades):
            result, reason = self._accept(trade, sender)
            results.append(result)
            if reason:
                reasons[index] = reason
        return Outcome(results, reasons, [at for at, result in enumerate(results) if result == _ADDED])

    def _accept(self, trade: Trade, sender: Sender) -> tuple[int, str]:
        """What becomes of a statement of the exchange that the desk chose, and why where it is none."""
        there = self._booked.get(trade.trade_id)
        row = BookedTrade._make(there) if there is not None else None
        is_equal = row is not None and not different_fields(trade_in(row), trade)
        is_confirmed = row is not None and bool(confirmed_by(row))
        stated = self._stated(trade)
        decision = decide(
            Speaker.ACCEPTED, is_booked=row is not None, is_equal=is_equal, is_confirmed=is_confirmed,
            is_stated=stated is not None or (is_equal and is_confirmed),
        )  # fmt: skip
        if row is None or decision is Decision.CONFLICT:
            return _CONFLICT, _NOT_STATED
        if stated is not None and decision is Decision.REPLACE:
            self._replace(row, stated.trade, sender, stated_by=stated.source)
        self._decide(trade.trade_id, sender.author)
        return (_ADDED if decision is Decision.REPLACE else _DUPLICATE), ""

    def _stated(self, trade: Trade) -> Differing | None:
        """The exchange's statement that is this one, of those that differ from what is booked."""
        now = [each for each in self.differing if each.trade.trade_id == trade.trade_id]
        known = [*self._booking.differing([trade.trade_id]), *now]
        return next((each for each in known if not different_fields(each.trade, trade)), None)

    def _decide(self, trade_id: str, by: str) -> None:
        self.decided[trade_id] = by
        self.differing = [
            each._replace(settled_time_us=self._now_us, settled_by=by)
            if each.trade.trade_id == trade_id and not each.settled_time_us
            else each
            for each in self.differing
        ]

    def _settle(self, there: BookedRow, trade: Trade, sender: Sender) -> tuple[int, str]:
        """What becomes of a statement about a booked id, and why where it is a conflict."""
        row = BookedTrade._make(there)
        differences = different_fields(trade_in(there), trade)
        is_confirmed = bool(confirmed_by(row))
        decision = decide(sender.speaker, is_booked=True, is_equal=not differences, is_confirmed=is_confirmed)
        if decision is Decision.DUPLICATE:
            return _DUPLICATE, ""
        if decision is Decision.CONFIRM:
            self._confirm(row, sender.source)
            return _DUPLICATE, ""
        if decision is Decision.REPLACE:
            self._replace(row, trade, sender)
            if is_confirmed:  # which only the desk's word replaces
                self._decide(row.trade_id, sender.author)
            return _ADDED, ""
        if sender.speaker is Speaker.EXCHANGE:
            self.differing.append(Differing(0, trade, self._now_us, sender.source, sender.author))
        if sender.sees not in (None, row.trader_id):
            return _CONFLICT, _CONFLICT_ONLY
        said = "stated by the exchange" if sender.speaker is Speaker.EXCHANGE else "already booked"
        return _CONFLICT, f"{said} with another {', '.join(differences)}"

    def _confirm(self, row: BookedTrade, source: int) -> None:
        confirmed = row._replace(confirmed_by=source)
        self._booked[row.trade_id] = tuple(confirmed)
        if row.booking_seq >= self._first_seq:
            self.rows[row.booking_seq - self._first_seq] = tuple(confirmed)
        else:
            self.confirmed[row.booking_seq] = source

    def _replace(self, row: BookedTrade, trade: Trade, sender: Sender, *, stated_by: int = 0) -> None:
        seq = self._first_seq + len(self.rows)
        self._replaced[seq] = tuple(row)
        if was_stated_by := confirmed_by(row):
            self.differing.append(Differing(0, trade_in(row), row.booked_time_us, was_stated_by, row.author))
        new = (seq, *trade, *self._ending(sender, stated_by))
        self._booked[row.trade_id] = new
        self.rows.append(new)
