"""Many callers, few calls: while a call is in flight arrivals gather, and the next call takes them all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from wattbook import telemetry
from wattbook.errors import Unavailable, WattbookError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
LAST_CALLS = 4
FEW = 4
MOST_OF_THEM = 0.8
_Waiting = tuple[Item, asyncio.Future[Answer], telemetry.TraceContext | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is gathered; ``most_waiting`` callers beyond those in flight are turned away.

    Where a call costs much however little it carries, ``patience_s`` is how long one under way is waited for
    before another begins beside it, and ``linger_s`` how long those who were answered last are waited for,
    since callers who ask one thing after the other come back at once.
    """

    in_flight: int = 2
    most_a_call: int = 500
    most_waiting: int = 5_000
    timeout_s: float = 10.0
    patience_s: float = 0.0
    linger_s: float = 0.0


class Coalescer(Generic[Item, Answer]):
    """Answers :meth:`ask` through ``call``, which takes many items and answers each, in order.

    A caller that gives up or whose deadline passes takes nobody else along. Where a call of several
    items is refused for what one of them holds, they are asked again one by one.
    """

    def __init__(self, call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], limits: Limits) -> None:
        """Gather for ``call``, which must have a deadline of its own."""
        self._call = call
        self._limits = limits
        self._waiting: deque[_Waiting[Item, Answer]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._woken: asyncio.Handle | None = None
        self._patient = False  # woken for later, not for the next turn of the loop
        self._carried: deque[int] = deque(maxlen=LAST_CALLS)

    async def ask(self, item: Item) -> Answer:
        """The answer for ``item``.

        Raises:
            Unavailable: too many wait already, or no answer in time.
            WattbookError: as the other side refused it.
        """
        if len(self._waiting) >= self._limits.most_waiting:
            raise Unavailable("too many requests are waiting; try again", retry_after_s=1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future, telemetry.current()))
        self._wake(loop)
        timer = loop.call_later(self._limits.timeout_s, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Let what runs finish for up to ``timeout_s``, then give up on it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._running:
                    await asyncio.wait(set(self._running))
        for task in self._running:
            task.cancel()

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._running) >= self._limits.in_flight:
            return
        delay_s = self._delay_s()
        if self._woken is not None:
            if delay_s or not self._patient:
                return
            self._woken.cancel()
        self._patient = delay_s > 0
        # Not at once: whatever else arrives in this turn of the loop goes with the same call.
        self._woken = loop.call_later(delay_s, self._start) if delay_s else loop.call_soon(self._start)

    def _delay_s(self) -> float:
        """How long to wait before the next call, for an answer or for those who were answered last."""
        if self._running:
            return self._limits.patience_s
        came_together = max(self._carried, default=0)
        if came_together < FEW or len(self._waiting) >= came_together * MOST_OF_THEM:
            return 0.0
        return self._limits.linger_s

    def _start(self) -> None:
        self._woken = None
        batch: list[_Waiting[Item, Answer]] = []
        while self._waiting and len(batch) < self._limits.most_a_call:
            waiting = self._waiting.popleft()
            if not waiting[1].done():
                batch.append(waiting)
        if not batch:
            return
        self._carried.append(len(batch))
        task = asyncio.ensure_future(self._run(batch))
        self._running.add(task)
        task.add_done_callback(self._ended)
        if self._waiting:
            self._wake(asyncio.get_running_loop())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._waiting:
            if self._woken is not None and self._patient:
                self._woken.cancel()
                self._woken = None
            self._wake(asyncio.get_running_loop())

    async def _run(self, batch: list[_Waiting[Item, Answer]]) -> None:
        try:
            with _caused_by(batch):
                answers = await self._call([item for item, _, _ in batch])
            if len(answers) != len(batch):
                raise Unavailable("a service answered in part; try again")
        except WattbookError as error:
            if len(batch) > 1 and error.http_status < 500:
                for one in batch:
                    await self._run([one])
                return
            _fail(batch, error)
        except BaseException as error:
            _fail(batch, Unavailable("the call was broken off; try again"))
            if not isinstance(error, asyncio.CancelledError):
                raise
        else:
            for (_, future, _), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)


async def call_by_pass(
    asked: Sequence[tuple[str, Item]], call: Callable[[str, Sequence[Item]], Awaitable[Sequence[Answer]]]
) -> Sequence[Answer]:
    """Answers in order to what was asked with passes: one call a pass, so that nobody asks with another's.

    Where one of the calls fails, all count as failed.
    """
    by_pass: dict[str, list[int]] = {}
    for index, (pass_, _) in enumerate(asked):
        by_pass.setdefault(pass_, []).append(index)
    calls = [call(pass_, [asked[index][1] for index in places]) for pass_, places in by_pass.items()]
    if len(calls) == 1:
        return await calls[0]
    found: dict[int, Answer] = {}
    for places, answers in zip(by_pass.values(), await asyncio.gather(*calls), strict=True):
        found.update(zip(places, answers, strict=False))
    return [found[index] for index in range(len(asked))] if len(found) == len(asked) else []


def _expire(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_exception(Unavailable("a service did not answer in time; try again"))


def _caused_by(batch: Sequence[_Waiting[Item, Answer]]) -> AbstractContextManager[object]:
    """The work at hand is that of all who wait, not of whoever happened to wake this call."""
    causes = [context for _, _, context in batch if context is not None]
    recorded = [context for context in causes if context.sampled]
    if len(recorded) > 1:
        return telemetry.joined("gather", [context.traceparent for context in recorded])
    alone = next(iter(recorded or causes), None)  # for log lines, one of those that nobody records
    return telemetry.within(alone) if alone is not None else nullcontext()


def _fail(batch: Sequence[_Waiting[Item, Answer]], error: WattbookError) -> None:
    for _, future, _ in batch:
        if not future.done():  # each its own, since raising writes into an exception
            future.set_exception(type(error)(error.message, retry_after_s=error.retry_after_s))
