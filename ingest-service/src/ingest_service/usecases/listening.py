"""Stay connected to the exchange: again at once, then ever more slowly; a silent socket is replaced.

A replaced connection is read on until the new one is open, so that replacing one loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from dataclasses import dataclass

from wattbook.clock import Clock, to_epoch_us
from wattbook.retry import Backoff, Retrying

from ingest_service.clients import ExchangeConnection, public_url
from ingest_service.domain import ExchangeGone, Heard, HeardKind, ListenerState
from ingest_service.usecases.intake import Intake

_log = logging.getLogger(__name__)

BACKOFF = Backoff(first_s=0.25, most_s=15.0)
STABLE_S = 5.0  # a connection that lasted so long, or had a frame, begins the back-off anew
LONGEST_SILENCE_S = 3_600.0
STOP_S = 1.5
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Terms:
    """How often to ping, how long silence is allowed, and the largest frame."""

    ping_s: float
    silence_s: float
    most_frame_bytes: int


class Listener:
    """One address of the exchange, listened to as long as :meth:`run` runs."""

    def __init__(
        self,
        url: str,
        *,
        intake: Intake,
        clock: Clock,
        terms: Terms,
        node: int = 0,
        rng: random.Random | None = None,
    ) -> None:
        """Listen to ``url`` for ``node``; ``rng`` spreads the waits."""
        self._url = url
        self._intake = intake
        self._clock = clock
        self._terms = terms
        self._retrying = Retrying(BACKOFF, rng=rng)
        self._silences = 0  # in a row, so that a quiet night does not make a storm of connections
        self.state = ListenerState(public_url(url), node=node)

    async def run(self) -> None:
        """Until cancelled; what was heard by then is in the intake."""
        current: Session | None = None
        try:
            while True:
                fresh = await self._connect()
                if fresh is None:
                    continue
                if current is not None:
                    current.retire()
                current = fresh
                self._lost(await current.lived(), current)
                await asyncio.sleep(self._wait_s())
        finally:
            if current is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(current.close(), STOP_S)

    async def _connect(self) -> Session | None:
        try:
            connection = await ExchangeConnection.open(
                self._url, most_frame_bytes=self._terms.most_frame_bytes
            )
        except ExchangeGone as error:
            self._disconnected(str(error))
            await asyncio.sleep(self._wait_s())
            return None
        silence_s = min(self._terms.silence_s * 2**self._silences, LONGEST_SILENCE_S)
        state = self.state
        state.connected, state.since_us, state.next_attempt_us, state.trouble = True, self._now_us(), 0, ""
        state.connects += 1
        _log.info("listening to the exchange", extra={"url": state.url, "connects": state.connects})
        return Session(
            connection, intake=self._intake, clock=self._clock, terms=self._terms,
            silence_s=silence_s, state=state,
        )  # fmt: skip

    def _lost(self, reason: str, session: Session) -> None:
        self._silences = self._silences + 1 if session.was_silent else 0
        if session.frames or session.lasted_s() >= STABLE_S:
            self._retrying.worked()
        self._disconnected(reason)

    def _disconnected(self, reason: str) -> None:
        state = self.state
        if state.connected or not state.since_us:
            state.since_us = self._now_us()
        state.connected, state.trouble = False, reason

    def _wait_s(self) -> float:
        wait_s = self._retrying.failed()
        self.state.next_attempt_us = to_epoch_us(self._clock.after(wait_s))
        _log.warning(
            "not listening to the exchange: %s",
            self.state.trouble,
            extra={"url": self.state.url, "again_in_s": round(wait_s, 3)},
        )
        return wait_s

    def _now_us(self) -> int:
        return to_epoch_us(self._clock.now())


class Session:
    """One connection's life: a task that takes its frames, and a watch over its signs of life."""

    def __init__(
        self,
        connection: ExchangeConnection,
        *,
        intake: Intake,
        clock: Clock,
        terms: Terms,
        silence_s: float,
        state: ListenerState,
    ) -> None:
        """Begin to take frames; the watch calls it silent after ``silence_s`` without any."""
        self._connection = connection
        self._intake = intake
        self._clock = clock
        self._terms = terms
        self._silence_s = silence_s
        self._state = state
        self._number = next(_numbers)
        self._began_s = self._last_frame_s = clock.monotonic_s()
        self._held_up = False  # we do not read, so a missing pong says nothing
        self._retiring: asyncio.Task[None] | None = None
        self.frames = 0
        self.was_silent = False
        self._heard(HeardKind.OPENED)
        self._taking = asyncio.create_task(self._take())

    def lasted_s(self) -> float:
        """For how long it has been open."""
        return self._clock.monotonic_s() - self._began_s

    async def lived(self) -> str:
        """Wait until it is over or gives no sign of life; which. It may still be open then."""
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait([self._taking, watching], return_when=asyncio.FIRST_COMPLETED)
            return self._taking.result() if self._taking.done() else watching.result()
        finally:
            watching.cancel()

    def retire(self) -> None:
        """There is another connection: prove that nothing was missed until then, and close this one."""
        if not self._taking.done():
            self._retiring = asyncio.create_task(self._retire())

    async def close(self) -> None:
        """Close it, and take what is still on its way."""
        await self._connection.close()
        await asyncio.wait([self._taking])

    async def _retire(self) -> None:
        await self._ping()
        await self.close()

    async def _take(self) -> str:
        try:
            while True:
                frame = await self._connection.frame()
                self.frames += 1
                self._last_frame_s = self._clock.monotonic_s()
                self._state.frames += 1
                if not self._heard(HeardKind.FRAME, frame):
                    await self._wait_for_room()
        except ExchangeGone as error:
            return str(error)
        except Exception:
            _log.exception("a fault of ours while listening")
            return "a fault of ours"
        finally:
            self._heard(HeardKind.CLOSED)

    async def _wait_for_room(self) -> None:
        _log.error(
            "the exchange is not read: frames cannot be written down and the memory for them is full",
            extra={"url": self._state.url, "frames": self._intake.depth()},
        )
        self._held_up = True
        await self._intake.room()
        self._held_up = False
        self._last_frame_s = self._clock.monotonic_s()
        _log.warning("the exchange is read again", extra={"url": self._state.url})

    async def _watch(self) -> str:
        while True:
            await asyncio.sleep(self._terms.ping_s)
            if not await self._ping() and not self._held_up:
                return f"no answer to a ping within {self._terms.ping_s:g} s"
            if self._clock.monotonic_s() - self._last_frame_s >= self._silence_s and not self._held_up:
                self.was_silent = True
                return f"no frame for {self._silence_s:g} s"

    async def _ping(self) -> bool:
        asked_us = to_epoch_us(self._clock.now())
        answered = await self._connection.answers_ping(timeout_s=self._terms.ping_s)
        if answered:
            self._intake.offer(Heard(HeardKind.PONG, self._number, asked_us, self._state.url, b""))
        return answered

    def _heard(self, kind: HeardKind, data: bytes = b"") -> bool:
        at_us = to_epoch_us(self._clock.now())
        if kind is HeardKind.FRAME:
            self._state.last_frame_us = at_us
        return self._intake.offer(Heard(kind, self._number, at_us, self._state.url, data))
