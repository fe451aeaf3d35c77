"""Frames to disk before anybody looks at them, then to the owner of the trades: one thread, in groups.

A commit costs a wait for the disk, whatever its size: frames that come while one is under way share the
next, and a lone frame has its own at once. Reading and announcing is a second transaction that need not
wait for the disk, since after a crash the same frames are only read again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from wattbook import telemetry
from wattbook.bus import Message
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import Unavailable
from wattbook.retry import Backoff, Retrying
from wattbook.telemetry.catalogue import FEED_HEARTBEATS, FEED_QUARANTINED, GROUP_SIZE
from wattbook.telemetry.metrics import Counter, Histogram

from ingest_service.domain import (
    NOTHING_MORE,
    UNKNOWN_FIELD,
    ConfirmedTrade,
    Coverage,
    FrameRules,
    Gap,
    Heard,
    HeardKind,
    Unreadable,
    kept_content,
    read_frame,
)
from ingest_service.store import Settled, Spool, Spooled
from ingest_service.usecases.housekeeping import Housekeeping
from ingest_service.usecases.intake import Intake

_log = logging.getLogger(__name__)

LOOK_S = 0.25
PAGE_FRAMES = 1_000
LOOK_AROUND_S = 1.0
GIVE_UP_S = 5.0
_US_PER_S = 1_000_000
_GROUP_SIZE, _STORE = Histogram(GROUP_SIZE), {"store": "ingest"}
_QUARANTINED, _HEARTBEATS = Counter(FEED_QUARANTINED), Counter(FEED_HEARTBEATS)

Announce = Callable[[Sequence[tuple[ConfirmedTrade, Spooled]], str], list[Message]]
"""Makes the events that tell the owner of trades; the text names the spool."""


class Spooler:
    """The thread that writes."""

    def __init__(
        self,
        *,
        intake: Intake,
        spool: Spool,
        housekeeping: Housekeeping,
        clock: Clock,
        announce: Announce,
        committed: Callable[[], None],
        rules: FrameRules = NOTHING_MORE,
    ) -> None:
        """Take from ``intake``; ``committed`` is called after events were put into the outbox."""
        self._intake = intake
        self._spool = spool
        self._housekeeping = housekeeping
        self._clock = clock
        self._announce = announce
        self._committed = committed
        self._rules = rules
        _QUARANTINED.add(
            0, {"reason": "unknown_field"}
        )  # from 0: else the first is no increase, and no alert
        state = spool.state()
        self._name = state.spool
        self._parsed_to = state.parsed_to
        # A clock that was set back (a simulated day again) has heard nothing of what is to come.
        covered_to_us = min(state.covered_to_us, to_epoch_us(clock.now()))
        self._coverage = Coverage(covered_to_us)
        self._first_us = min(state.first_us, covered_to_us)
        self._gaps: list[Gap] = []  # certain and not written down yet
        self._covered_to_us = state.covered_to_us  # as written down
        self._looked_at_s = 0.0
        self.failed = False  # it ended by itself: nothing is written any more
        self.trouble = ""  # why frames are not written down now, for people; empty: they are
        self._retrying = Retrying(Backoff(first_s=0.1, most_s=2.0))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spooler", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process left unread."""
        self._thread.start()

    def stop(self) -> None:
        """Write down what was heard, unless the store does not let us for seconds, and end."""
        self._stopping.set()
        self._intake.close()
        if self._thread.is_alive():
            self._thread.join(GIVE_UP_S * 2)

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                heard = self._intake.take(timeout_s=LOOK_S)
                if not heard and self._stopping.is_set():
                    break
                frames = [each for each in heard if each.kind is HeardKind.FRAME]
                with _received(frames) if frames else nullcontext():
                    self._work(heard, frames)
        except Exception:
            _log.exception("frames can no longer be written down")
            self.failed = True

    def _work(self, heard: list[Heard], frames: list[Heard]) -> None:
        kept = self._keep(frames) if frames else []
        self._gaps += self._coverage.add(heard)
        try:
            self._settle_all(kept)
            if self._clock.monotonic_s() - self._looked_at_s >= LOOK_AROUND_S or self._gaps:
                self._looked_at_s = self._clock.monotonic_s()
                self._cover()
                self._housekeeping.tidy()
        except Unavailable as error:
            _log.warning("what was heard cannot be settled now", extra={"reason": str(error)})
            self._stopping.wait(self._retrying.failed())

    def _keep(self, frames: list[Heard]) -> list[Spooled]:
        """On disk, however long that takes: nothing is looked at or thrown away before."""
        give_up_at_s = 0.0
        while True:
            try:
                kept = self._spool.keep(frames)
            except Unavailable as error:
                self.trouble = f"frames wait in memory: {error.message}"
                delay_s = max(self._retrying.failed(), 0.02)
                _log.error(
                    "frames of the exchange cannot be written down; they wait in memory",
                    extra={"reason": str(error), "frames": len(frames) + self._intake.depth()},
                )
                if self._stopping.wait(delay_s):
                    now_s = self._clock.monotonic_s()
                    give_up_at_s = give_up_at_s or now_s + GIVE_UP_S
                    if now_s >= give_up_at_s:
                        raise
                    time.sleep(delay_s)
            else:
                self.trouble = ""
                self._retrying.worked()
                _GROUP_SIZE.record(len(kept), _STORE)
                return kept

    def _settle_all(self, kept: list[Spooled]) -> None:
        """What was just kept, or whatever is on disk and unread where that does not follow on."""
        if kept and kept[0].frame_id == self._parsed_to + 1:
            self._settle(kept)
        while self._parsed_to < self._spool.last_frame_id:
            page = self._spool.after(self._parsed_to, most=PAGE_FRAMES)
            if not page:  # an operator took them out by hand
                self._parsed_to = self._spool.last_frame_id
                break
            with _again():
                self._settle(page)

    def _settle(self, frames: list[Spooled]) -> None:
        """Settle frames together; a fault of ours with one of them must not hold up the others."""
        settled = Settled(parsed_to=frames[-1].frame_id)
        try:
            self._commit(settled, self._read(frames, settled))
        except Unavailable:
            raise
        except Exception as error:
            _log.exception("a fault of ours with %s frames", len(frames))
            if len(frames) > 1:
                for frame in frames:
                    self._settle([frame])
                return
            settled = Settled(settled.parsed_to, unreadable=[(frames[0], f"a fault of ours: {error!r}", "")])
            self._commit(settled, [])
        if settled.heartbeats:
            _HEARTBEATS.add(settled.heartbeats)
        if settled.unreadable:
            _say(settled)

    def _read(self, frames: Sequence[Spooled], settled: Settled) -> list[tuple[ConfirmedTrade, Spooled]]:
        trades = []
        for frame in frames:
            try:
                trade = read_frame(frame.frame, self._rules)
            except Unreadable as error:
                settled.unreadable.append((frame, str(error), error.trade_id))
            else:
                if trade is None:
                    settled.heartbeats += 1
                else:
                    trades.append((trade, frame))
        return trades

    def _commit(self, settled: Settled, trades: list[tuple[ConfirmedTrade, Spooled]]) -> None:
        with self._spool.settling() as settling:
            known = settling.known([trade.trade_id for trade, _ in trades]) if trades else {}
            news = [each for each in trades if _is_news(each, known, settled)]
            settled.messages = self._announce(news, self._name)
            if trades:
                newest, frame = trades[-1]
                settled.last_trade_us, settled.last_executed_us = frame.received_us, newest.execution_time_us
            settling.settle(settled)
        self._parsed_to = settled.parsed_to
        if settled.messages:
            self._committed()

    def _cover(self) -> None:
        covered_to_us = self._coverage.covered_to_us
        if covered_to_us == self._covered_to_us and not self._gaps:
            return
        self._first_us = self._first_us or covered_to_us
        self._spool.cover(first_us=self._first_us, covered_to_us=covered_to_us, gaps=self._gaps)
        self._covered_to_us = covered_to_us
        for gap in self._gaps:
            _log.warning(
                "nobody listened to the exchange for %.3f s; the nightly file closes the gap",
                (gap.ended_us - gap.began_us) / _US_PER_S,
            )
        self._gaps = []


def _say(settled: Settled) -> None:
    """Count and log what is quarantined."""
    unknown = sum(reason.startswith(UNKNOWN_FIELD) for _, reason, _ in settled.unreadable)
    _QUARANTINED.add(unknown, {"reason": "unknown_field"})
    _QUARANTINED.add(len(settled.unreadable) - unknown, {"reason": "unreadable"})
    for frame, reason, _ in settled.unreadable[:10]:
        _log.warning("a frame is quarantined: %s", reason, extra={"frame_id": frame.frame_id})


def _received(frames: Sequence[Heard]) -> telemetry.Work:
    """Where a trace begins: with what came together. Frames that nobody has to wait for are alone in it."""
    facts = {
        "network.protocol.name": "websocket",
        "wattbook.frames": len(frames),
        "wattbook.frames.size": sum(len(each.data) for each in frames),
    }
    return telemetry.entering("receive frames", kind="consumer", attributes=facts)


def _again() -> AbstractContextManager[object]:
    """Frames that an earlier process left, or a store that was away, begin a trace where none is at hand."""
    return nullcontext() if telemetry.current() else telemetry.entering("settle frames", kind="internal")


def _is_news(heard: tuple[ConfirmedTrade, Spooled], known: dict[str, str], settled: Settled) -> bool:
    """Whether the owner must hear of it: not of what another listener delivered alike."""
    content = kept_content(heard[0])
    there = known.get(heard[0].trade_id)
    if there is None:
        known[heard[0].trade_id] = content
        settled.trades.append(heard)
    return there != content
