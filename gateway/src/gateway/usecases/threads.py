"""Where blocking work goes, so that the event loop never waits: bounded pools and bounded queues."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from wattbook.errors import Unavailable

P = ParamSpec("P")
R = TypeVar("R")


class Pool:
    """A few threads and a bounded number of waiting jobs; use it from the event loop."""

    def __init__(self, name: str, *, threads: int, most_waiting: int) -> None:
        """Threads start when first needed."""
        self._name = name
        self._most = threads + most_waiting
        self._running = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What ``function`` returns, run in a thread with the caller's context.

        Raises:
            Unavailable: too much waits already.
        """
        if self._running >= self._most:
            raise Unavailable("the gateway is busy; try again", retry_after_s=1)
        self._running += 1
        call = partial(contextvars.copy_context().run, partial(function, *args, **kwargs))
        job = asyncio.get_running_loop().run_in_executor(self._executor, call)
        job.add_done_callback(self._done)
        return await job

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _done(self, _job: asyncio.Future[R]) -> None:
        self._running -= 1
