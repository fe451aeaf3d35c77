"""How complete a day is: what was heard without a gap, and the nightly file against the feed.

A listener's connection proves that nothing was missed from its start to the last sign of life on it: frames
come in order, so what was sent before a frame or a pong came before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class HeardKind(Enum):
    """A sign of life from the exchange, in the order of a connection's life."""

    OPENED = 1
    FRAME = 2
    PONG = 3
    CLOSED = 4


class Heard(NamedTuple):
    """What a connection heard, and when; ``session`` tells connections apart, ``data`` is a frame's."""

    kind: HeardKind
    session: int
    at_us: int
    origin: str
    data: bytes


class Gap(NamedTuple):
    """Nothing is known of what was sent between these two instants."""

    began_us: int
    ended_us: int


@dataclass(slots=True)
class Listening:
    """A connection: when it began, the last sign of life on it, whether it is open."""

    since_us: int
    heard_us: int
    is_open: bool = True


@dataclass(slots=True)
class Coverage:
    """Up to when everything was heard; 0 before anything ever was."""

    covered_to_us: int = 0
    _sessions: dict[int, Listening] = field(default_factory=dict)

    def add(self, heard: Iterable[Heard]) -> list[Gap]:
        """Take in signs of life in the order in which they came; the gaps that are now certain."""
        for sign in heard:
            known = self._sessions.get(sign.session)
            if sign.kind is HeardKind.OPENED:
                self._sessions[sign.session] = Listening(sign.at_us, sign.at_us)
                self.covered_to_us = self.covered_to_us or sign.at_us
            elif known is not None and sign.kind is HeardKind.CLOSED:
                known.is_open = False
            elif known is not None:
                known.heard_us = max(known.heard_us, sign.at_us)
        return list(self._gaps())

    def _gaps(self) -> Iterable[Gap]:
        self._extend()
        while not any(
            each.is_open and each.since_us <= self.covered_to_us for each in self._sessions.values()
        ):
            # Nobody who listened then can say more. The next one who began to listen ends the gap.
            later = [each.since_us for each in self._sessions.values() if each.since_us > self.covered_to_us]
            if not later:
                break
            gap = Gap(self.covered_to_us, min(later))
            self.covered_to_us = gap.ended_us
            yield gap
            self._extend()
        self._sessions = {
            number: each
            for number, each in self._sessions.items()
            if each.is_open or each.heard_us > self.covered_to_us
        }

    def _extend(self) -> None:
        """Move on along connections that began before the end of what is covered."""
        while True:
            reach = [each.heard_us for each in self._sessions.values() if each.since_us <= self.covered_to_us]
            if not reach or max(reach) <= self.covered_to_us:
                return
            self.covered_to_us = max(reach)


def complete_to_us(
    *,
    begins_us: int,
    ends_us: int,
    reconciled_us: int,
    covered_to_us: int,
    first_us: int,
    gap: Gap | None,
) -> int:
    """Up to when a day's trades are known without a gap; 0 where nothing is known.

    ``gap`` is the first that ended after the day began and after its nightly file was taken in, which closes
    those before it; ``first_us`` is when we first ever listened.
    """
    if reconciled_us >= ends_us:
        return ends_us
    if not first_us or first_us >= ends_us or covered_to_us < begins_us:
        return 0
    until_us = min(covered_to_us, ends_us, gap.began_us if gap else ends_us)
    return max(until_us, begins_us)
