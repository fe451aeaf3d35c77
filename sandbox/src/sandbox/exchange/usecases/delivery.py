"""From a trade to the frames that listeners get, with whatever is told to go wrong on the way."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from sandbox.exchange.domain.faults import Faults
from sandbox.exchange.domain.noise import Noise, garbled, malformed, unknown
from sandbox.exchange.domain.trades import FrameStyle, Trade
from sandbox.exchange.store import SentLog
from sandbox.exchange.usecases.listeners import Listener, Listeners

_LONGEST_HOLD = timedelta(seconds=1)


@dataclass(slots=True)
class _Held:
    trade: Trade
    until: datetime
    sends_left: int
    overtaken: bool = False


class Delivery:
    """Hands frames to listeners and writes down to whom."""

    def __init__(
        self, *, listeners: Listeners, sent: SentLog, style: FrameStyle, seed: int, counts: Counter[str]
    ) -> None:
        """Start without faults."""
        self._listeners = listeners
        self._sent = sent
        self._style = style
        # A chance of its own: faults do not change which trades there are.
        self._random = Random(seed ^ 0x0FA17)  # noqa: S311  # a simulation must be repeatable
        self._counts = counts
        self._held: deque[_Held] = deque()
        self._turn = 0
        self._number = 0
        self.faults = Faults()

    def confirm(self, trade: Trade, *, now: datetime) -> None:
        """Send a trade's confirmation, now or, held back, after later ones."""
        if self._happens(self.faults.reorder_rate):
            self._held.append(_Held(trade, now + _LONGEST_HOLD, self.faults.reorder_by))
            return
        self._send(trade)
        for held in self._held:
            held.sends_left -= 1
            held.overtaken = True
        self.release(now=now)

    def release(self, *, now: datetime, all_of_them: bool = False) -> None:
        """Send what was held back long enough."""
        while self._held and (
            all_of_them or self._held[0].sends_left <= 0 or self._held[0].until <= now
        ):  # fmt: skip
            held = self._held.popleft()
            self._counts["reordered"] += held.overtaken
            self._send(held.trade)

    def send_noise(self, noise: Noise) -> int:
        """A frame without a trade, to everybody; to how many it went."""
        return self._make_noise(noise, self._listeners.receivers())

    @property
    def held(self) -> int:
        """How many confirmations are held back at the moment."""
        return len(self._held)

    def _send(self, trade: Trade) -> None:
        frame = self._style.frame(trade)
        if self._happens(self.faults.garble_rate):
            self._number += 1
            self._counts["garbled"] += 1
            self._make_noise(garbled(frame, self._number), self._receivers())
            return
        receivers = self._receivers()
        self._hand(trade.seq, frame, receivers)
        if receivers and self._happens(self.faults.duplicate_rate):
            self._counts["duplicated"] += 1
            self._hand(trade.seq, frame, receivers, again=True)
        if receivers and self._happens(self.faults.malformed_rate):
            self._number += 1
            self._counts["malformed"] += bool(self._make_noise(malformed(self._number), receivers))
        if receivers and self._happens(self.faults.unknown_rate):
            self._number += 1
            self._counts["unknown"] += bool(self._make_noise(unknown(self._number), receivers))

    def _make_noise(self, noise: Noise, receivers: list[Listener]) -> int:
        self._hand(0, noise.payload, receivers)
        self._counts[f"frames: {noise.kind}"] += len(receivers)
        return len(receivers)

    def _hand(
        self, seq: int, payload: str | bytes, receivers: list[Listener], *, again: bool = False
    ) -> None:
        for listener in receivers:
            size = listener.send(payload)
            self._sent.handed(seq, listener.number, size=size, again=again)
        self._counts["frames"] += len(receivers)

    def _receivers(self) -> list[Listener]:
        receivers = self._listeners.receivers()
        if not self.faults.split or len(receivers) < 2:
            return receivers
        self._turn += 1
        return [receivers[self._turn % len(receivers)]]

    def _happens(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate
