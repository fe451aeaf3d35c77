"""What other nodes heard of the exchange: the book has it, since each of them hands over what it hears."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Protocol

from wattbook.clock import to_epoch_us
from wattbook.periods import DEFAULT_AREA, NoSuchPeriod, day_bounds

from ingest_service.domain import ConfirmedTrade, NotYet
from ingest_service.store import FeedDays

_log = logging.getLogger(__name__)

AT_ONCE = 1_000  # in one transaction: frames that are heard meanwhile wait for it


class Book(Protocol):
    """Where booked trades are asked for; see :class:`ingest_service.clients.Book`."""

    def of_feed(self, *, from_us: int, before_us: int) -> Iterator[Sequence[ConfirmedTrade]]: ...  # noqa: D102


class HeardElsewhere:
    """Lets trades that were booked from the feed count as heard here; doing it again changes nothing."""

    def __init__(self, *, book: Book, days: FeedDays) -> None:
        """Ask ``book``, and keep in ``days`` what it has and they do not."""
        self._book = book
        self._days = days

    def adopt(self, day: date, *, keep_going: Callable[[], bool]) -> None:
        """Take in a day (Berlin) of executions, some at a time.

        Raises:
            NotYet: ``keep_going`` said no.
            Unavailable: the book or the store cannot be used now.
        """
        try:
            begins, ends = day_bounds(DEFAULT_AREA, day)
        except NoSuchPeriod:
            return  # nothing of such a day can be booked
        adopted = 0
        for trades in self._book.of_feed(from_us=to_epoch_us(begins), before_us=to_epoch_us(ends)):
            for start in range(0, len(trades), AT_ONCE):
                if not keep_going():
                    raise NotYet("the service is stopping")
                adopted += self._days.adopt(trades[start : start + AT_ONCE])
        if adopted:
            _log.info("%s trades of %s were heard by other nodes only", adopted, day.isoformat())
