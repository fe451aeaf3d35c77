"""What is known of companies' cash: asked once a version, kept by bytes, fresh while somebody looks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from wattbook.clock import Clock
from wattbook.errors import Unavailable, WattbookError
from wattbook_proto import cash_pb2, events_pb2

from report_service.domain.cash import Answers, Look

MOST_KEPT_BYTES = 32 * 1024 * 1024
CHECK_EVERY_S = 10.0  # finds what no event announced
IN_USE_S = 30.0
CASH = "cash"

Texts = Mapping[str, str]


class CashOwner(Protocol):
    """Who knows; see :class:`report_service.clients.cash.CashService`."""

    def answers(self, look: Look) -> Answers: ...  # noqa: D102

    def companies(self, query: str, *, cursor: str, limit: int) -> cash_pb2.CompaniesReply: ...  # noqa: D102

    def payments(  # noqa: D102
        self, look: Look, chosen: Mapping[str, str], *, cursor: str, limit: int
    ) -> cash_pb2.TransactionPage: ...

    def set_aside(self, company_id: int, *, cursor: str, limit: int) -> cash_pb2.SetAsideReply: ...  # noqa: D102

    def status(self) -> cash_pb2.StatusReply: ...  # noqa: D102


@dataclass(eq=False)
class _Kept:
    """Answers, which version of the data they were asked at, and what was written from them by locale."""

    answers: Answers
    version: int
    asked_s: float
    looked_s: float
    written: dict[str, Texts] = field(default_factory=dict)
    size: int = 0


class CashBoard:
    """Answers by what is looked at; used from any thread."""

    def __init__(self, owner: CashOwner | None, clock: Clock, *, most_bytes: int = MOST_KEPT_BYTES) -> None:
        """``owner`` None: there is no cash-service here."""
        self._owner = owner
        self._clock = clock
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Look, _Kept] = OrderedDict()
        self._version = 0  # ours: rises with each event
        self._changed: dict[int, int] = {}  # company → version
        self._all_changed = 0
        self._listeners: list[Callable[[Iterable[tuple[str, int]]], None]] = []
        self.lost_since: datetime | None = None

    @property
    def is_used(self) -> bool:
        """Whether there is a cash-service here."""
        return self._owner is not None

    @property
    def owner(self) -> CashOwner:
        """Who is asked.

        Raises:
            Unavailable: there is none.
        """
        if self._owner is None:
            raise Unavailable("Company cash is not set up here")
        return self._owner

    def on_change(self, listener: Callable[[Iterable[tuple[str, int]]], None]) -> None:
        """Call ``listener`` with ``(CASH, company)`` of each whose answers are others now."""
        self._listeners.append(listener)

    def offer(self, events: Iterable[events_pb2.CashChanged]) -> None:
        """Somebody's figures changed."""
        with self._lock:
            for event in events:
                self._version += 1
                if not event.company_ids:
                    self._all_changed = self._version
                    self._changed.clear()
                self._changed.update(dict.fromkeys(event.company_ids, self._version))

    def doubt(self) -> None:
        """Whatever is known may be old: events may have been missed."""
        with self._lock:
            self._version += 1
            self._all_changed = self._version
            self._changed.clear()

    def texts(self, look: Look, locale: str, write: Callable[[Answers], Texts]) -> Texts:
        """What ``write`` makes of the newest answers; of the last ones while their owner is away.

        Raises:
            Unavailable: the owner is away, and nothing is known yet.
            NotFound: there is no such company. InvalidInput: something asked for cannot be.
        """
        kept = self._kept.get(look)
        if kept is None or self._is_behind(kept, look):
            try:
                kept = self._ask(look)
            except Unavailable:
                if kept is None:
                    raise
        return self._written(kept, look, locale, write)

    def last_texts(self, look: Look, locale: str, write: Callable[[Answers], Texts]) -> Texts | None:
        """The same of what is known, without asking; None where nothing is."""
        kept = self._kept.get(look)
        return None if kept is None else self._written(kept, look, locale, write)

    def tend(self) -> None:
        """Ask again for what is looked at and may be old; call it often, from one thread.

        Raises:
            Unavailable: the owner is away.
        """
        now_s = self._clock.monotonic_s()
        with self._lock:
            looked = [(look, kept) for look, kept in self._kept.items() if now_s - kept.looked_s < IN_USE_S]
        for look, kept in looked:
            if not self._is_behind(kept, look):
                continue
            before = kept.answers
            try:
                after = self._ask(look, looked_s=kept.looked_s)
            except Unavailable:
                self._announce((look.company_id,))
                raise
            except WattbookError:  # the company or its account is gone
                self._drop(look)
                continue
            if after.answers != before:
                self._announce((look.company_id,))

    def _ask(self, look: Look, *, looked_s: float | None = None) -> _Kept:
        now_s, version = self._clock.monotonic_s(), self._version
        try:
            answers = self.owner.answers(look)
        except Unavailable:
            self.lost_since = self.lost_since or self._clock.now()
            raise
        was_lost, self.lost_since = self.lost_since, None
        kept = _Kept(answers, version, now_s, now_s if looked_s is None else looked_s, size=answers.size)
        before = self._kept.get(look)
        if before is not None and before.answers == answers:
            kept.written, kept.size = before.written, before.size
        self._keep(look, kept)
        if was_lost:
            self._announce(each.company_id for each in list(self._kept))
        return kept

    def _written(self, kept: _Kept, look: Look, locale: str, write: Callable[[Answers], Texts]) -> Texts:
        kept.looked_s = self._clock.monotonic_s()
        found = kept.written.get(locale)
        if found is None:
            found = kept.written[locale] = write(kept.answers)
            kept.size += sum(map(len, found.values()))
            self._keep(look, kept)
        return found

    def _keep(self, look: Look, kept: _Kept) -> None:
        with self._lock:
            self._kept[look] = kept
            self._kept.move_to_end(look)
            total = sum(each.size for each in self._kept.values())
            while total > self._most_bytes and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                total -= gone.size

    def _drop(self, look: Look) -> None:
        with self._lock:
            self._kept.pop(look, None)

    def _is_behind(self, kept: _Kept, look: Look) -> bool:
        changed = max(self._all_changed, self._changed.get(look.company_id, 0))
        return kept.version < changed or self._clock.monotonic_s() - kept.asked_s > CHECK_EVERY_S

    def _announce(self, companies: Iterable[int]) -> None:
        keys = {(CASH, each) for each in companies}
        for listener in self._listeners:
            listener(keys)
