"""How the feed is, as this node hears it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from wattbook.clock import Clock, to_epoch_us

from ingest_service.domain import ListenerState, Now, WaitingFile
from ingest_service.store import Spool
from ingest_service.usecases.intake import Intake
from ingest_service.usecases.quarantine import Quarantine
from ingest_service.usecases.spooling import Spooler


class FeedStatus:
    """Asks everything that knows."""

    def __init__(
        self,
        listeners: Sequence[ListenerState],
        *,
        spool: Spool,
        quarantine: Quarantine,
        intake: Intake,
        spooler: Spooler,
        clock: Clock,
    ) -> None:
        """``listeners`` are the live states."""
        self.listeners = listeners
        self._spool = spool
        self._quarantine = quarantine
        self._intake = intake
        self._spooler = spooler
        self._clock = clock
        self.files_waiting: Callable[[], Sequence[WaitingFile]] = tuple  # once the drop folder is scanned

    def now(self) -> Now:
        """How it is.

        Raises:
            Unavailable: the store cannot be read.
        """
        state = self._spool.state()
        trouble = self._spooler.trouble
        return Now(
            listeners=[replace(each, trouble=each.trouble or trouble) for each in self.listeners],
            frames=state.frames,
            spool_depth=state.frames - state.parsed_to + self._intake.depth(),
            outbox_depth=self._spool.outbox_depth(),
            quarantined=self._quarantine.count_open(),
            last_trade_us=state.last_trade_us,
            lag_us=state.last_trade_us - state.last_executed_us,
            now_us=to_epoch_us(self._clock.now()),
            files_waiting=self.files_waiting(),
        )
