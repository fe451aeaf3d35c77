"""Who is connected, and what is done to their connections."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Protocol

from sandbox.exchange.domain.faults import Faults
from sandbox.exchange.store import SentLog

MOST_LISTENERS = 1000


class Listener(Protocol):
    """A connection that frames can be handed to; ``number`` counts connections from 1."""

    number: int

    def is_open(self) -> bool:
        """Whether a frame handed over now would be written."""
        ...

    def send(self, payload: str | bytes) -> int:
        """Write a text or a binary frame without waiting; how many bytes that took."""
        ...

    def is_clogged(self) -> bool:
        """Whether it reads so slowly that more was piled up for it than is allowed."""
        ...

    def end(self, how: str) -> None:
        """Begin to end it, with a close frame or without one; what was written before still arrives."""
        ...

    def set_deaf(self, deaf: bool) -> None:
        """Read nothing from it, so that its pings stay unanswered; or read again."""
        ...


class Listeners:
    """The connections there are, in the order of connecting."""

    def __init__(self, *, sent: SentLog, counts: Counter[str]) -> None:
        """Start with nobody."""
        self._sent = sent
        self._counts = counts
        self._all: dict[int, Listener] = {}
        self._ending: dict[int, str] = {}
        self._frozen: dict[int, datetime | None] = {}  # number → until when
        self._freezes_newcomers: tuple[datetime | None, bool] | None = None
        self._turn = 0

    def __len__(self) -> int:
        return len(self._all)

    def join(self, listener: Listener, *, at: datetime) -> None:
        """A handshake is done."""
        self._all[listener.number] = listener
        self._sent.join(listener.number, at=at)
        self._counts["connections"] += 1
        if self._freezes_newcomers is not None:
            until, pongs = self._freezes_newcomers
            self._freeze(listener, until=until, pongs=pongs)

    def leave(self, listener: Listener, *, at: datetime) -> None:
        """A connection is gone, by whomever."""
        if self._all.pop(listener.number, None) is not None:
            self._frozen.pop(listener.number, None)
            ended_by = self._ending.pop(listener.number, "listener")
            self._sent.leave(listener.number, at=at, ended_by=ended_by)

    def receivers(self) -> list[Listener]:
        """Those that a frame sent now would reach."""
        return [
            listener
            for number, listener in self._all.items()
            if number not in self._frozen and number not in self._ending and listener.is_open()
        ]

    def end(self, listener: Listener, *, how: str, why: str) -> None:
        """End one connection; it gets nothing more."""
        if listener.number not in self._ending:
            self._ending[listener.number] = why
            listener.end(how)

    def drop(self, *, how: str, who: str) -> int:
        """End all connections, or one, in turn. How many."""
        candidates = [each for each in self._all.values() if each.number not in self._ending]
        if who == "one" and candidates:
            self._turn += 1
            candidates = [candidates[self._turn % len(candidates)]]
        for listener in candidates:
            self.end(listener, how=how, why="drop")
        self._counts["drops"] += bool(candidates)
        self._counts["connections_dropped"] += len(candidates)
        return len(candidates)

    def freeze(self, *, who: str, until: datetime | None, pongs: bool, newcomers: bool) -> int:
        """Hand nothing more to all connections, or to the oldest; with ``pongs`` pings are answered."""
        chosen = [each for each in self._all.values() if each.number not in self._ending]
        for listener in chosen[:1] if who == "one" else chosen:
            self._freeze(listener, until=until, pongs=pongs)
        self._freezes_newcomers = (until, pongs) if newcomers else None
        return len(self._frozen)

    def thaw(self) -> None:
        """End every freeze."""
        for number in list(self._frozen):
            self._thaw(number)
        self._freezes_newcomers = None

    def thaw_due(self, now: datetime) -> None:
        """End the freezes whose time is over."""
        for number, until in list(self._frozen.items()):
            if until is not None and until <= now:
                self._thaw(number)
        if self._freezes_newcomers and self._freezes_newcomers[0] and self._freezes_newcomers[0] <= now:
            self._freezes_newcomers = None

    def drop_clogged(self) -> None:
        """End connections that do not read: an exchange does not keep their frames for them."""
        for listener in self.receivers():
            if listener.is_clogged():
                self._counts["clogged_dropped"] += 1
                self.end(listener, how="abort", why="too slow")

    @property
    def frozen(self) -> list[int]:
        """The numbers of the frozen ones."""
        return sorted(self._frozen)

    def _freeze(self, listener: Listener, *, until: datetime | None, pongs: bool) -> None:
        self._frozen[listener.number] = until
        self._counts["connections_frozen"] += 1
        listener.set_deaf(not pongs)

    def _thaw(self, number: int) -> None:
        del self._frozen[number]
        self._all[number].set_deaf(False)


class DropSchedule:
    """Drops every so many simulated seconds, so many times."""

    def __init__(self) -> None:
        """Nothing planned."""
        self._next: datetime | None = None
        self._left = 0

    def plan(self, faults: Faults, *, now: datetime) -> None:
        """Begin again with what the faults say; ``drop_times`` 0 is without end."""
        self._next = now + timedelta(seconds=faults.drop_every_s) if faults.drop_every_s else None
        self._left = faults.drop_times or -1

    def step(self, listeners: Listeners, faults: Faults, *, now: datetime) -> None:
        """Drop if one is due and somebody is connected; else it stays due."""
        if self._next is None or now < self._next or not self._left:
            return
        if listeners.drop(how=faults.drop_how, who=faults.drop_who):
            self._left -= 1
            self._next = max(self._next + timedelta(seconds=faults.drop_every_s), now)

    @property
    def left(self) -> int | None:
        """How many drops are still to come; nothing where there is no end, or no plan."""
        return self._left if self._next is not None and self._left >= 0 else None
