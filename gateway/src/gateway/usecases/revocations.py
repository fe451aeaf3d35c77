"""What another replica ended is over here within seconds: one small query each, however many ask."""

from __future__ import annotations

import asyncio
import logging

from wattbook.auth.revocations import POLL_INTERVAL_S, Revocation
from wattbook.errors import WattbookError

from gateway.store import RevocationStore
from gateway.usecases.memory import Memory
from gateway.usecases.threads import Pool

_log = logging.getLogger(__name__)


class Revocations:
    """Forgets who was remembered, as revocations come; where the store is away, a minute is the limit."""

    def __init__(self, *, store: RevocationStore, database: Pool, memory: Memory) -> None:
        """Nothing is asked before :meth:`follow`."""
        self._store = store
        self._database = database
        self._memory = memory
        self._version: int | None = None

    async def after(self, version: int) -> tuple[int, list[Revocation]]:
        """The newest version, and the revocations after ``version``."""
        return await self._database.run(self._store.after, version)

    async def follow(self) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self._poll()
            except WattbookError as error:
                _log.warning("revocations cannot be read now", extra={"reason": error.message})
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _poll(self) -> None:
        if self._version is None:  # nobody is remembered from before
            self._version = await self._database.run(self._store.newest)
            return
        newest, found = await self.after(self._version)
        if newest < self._version:  # the store was restored: what is remembered may be of after it
            self._memory.forget_all()
            self._version = newest
        for each in found:
            self._forget(each)
            self._version = each.version

    def _forget(self, revocation: Revocation) -> None:
        if revocation.session_id is None:
            self._memory.forget(revocation.user)
        else:
            self._memory.forget_session(revocation.session_id)
