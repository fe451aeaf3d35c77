"""cash-service's parts on a store, and the bank that it follows, for tests and for what measures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cash_service.api import CashServicer, cash_event
from cash_service.clients.bank import Bank
from cash_service.store.bank import BankStore
from cash_service.store.questions import Questions
from cash_service.store.windows import Windows
from cash_service.usecases.bank_status import BankStatus
from cash_service.usecases.basis import Bases
from cash_service.usecases.companies import Companies
from cash_service.usecases.following import Follower, Pace
from cash_service.usecases.quality import Quality
from cash_service.usecases.questions import Answers
from cash_service.usecases.recleaning import Recleaning
from sandbox.bank import app as bank_app
from sandbox.bank.domain.sets import Plan
from sandbox.bank.domain.sizes import SIZES, Span
from sandbox.bank.store.key import write_key
from sandbox.bank.usecases.make import Target, make
from wattbook.clock import FakeClock
from wattbook.db import Store, migrate, open_store
from wattbook.settings import load

SIZE_FROM, SIZE_TO = date(2018, 1, 1), date(2022, 1, 1)
AFTER = datetime(2022, 1, 10, tzinfo=UTC)


class Cash:
    """cash-service on a store, without its sockets; ``servicer`` answers as over gRPC."""

    def __init__(self, store_url: str, *, clock: Any = None) -> None:
        self.clock = clock or FakeClock(AFTER)
        self.store: Store = open_store(store_url, name="cash")
        migrate(self.store, "cash_service")
        announce = cash_event(self.clock)
        self.bank = BankStore(self.store, announce=announce)
        self.windows = Windows(self.store, announce=announce)
        self.questions = Questions(self.store)
        self.bases = Bases(self.questions, self.clock)
        self.answers = Answers(self.questions, self.bases)
        self.servicer = CashServicer(
            answers=self.answers,
            companies=Companies(self.questions, self.bases, self.answers),
            quality=Quality(self.questions, self.bases, self.answers),
            status=BankStatus(self.questions, self.bases, leads=lambda: True),
            recleaning=Recleaning(self.questions, self.bases, self.bank, self.windows),
        )

    def ask(self, method: str, request: Any) -> Any:
        """What a caller with every right gets; of a stream its messages."""
        found = getattr(self.servicer, method)(request, None)
        return list(found) if isinstance(found, Iterator) else found

    def follower(self, url: str, *, holder: str = "test", **options: Any) -> Follower:
        """A poller of the bank at ``url``."""
        return Follower(
            bank=Bank(url=url), store=self.bank, windows=self.windows, clock=self.clock, holder=holder,
            pace=Pace(follow_s=2.0, lists_s=600.0), **options,
        )  # fmt: skip

    def follow(self, url: str, *, most: int = 100_000) -> None:
        """Ask the bank until there is no more for now."""
        follower = self.follower(url)
        for _ in range(most):
            if follower.turn():
                break
        follower.resign()

    def close(self) -> None:
        self.store.close()


def made_set(
    folder: Path, *, size: str = "small", seed: int = 7, first: date = SIZE_FROM, end: date = SIZE_TO
) -> Path:
    """A data set with its answer key and its labels."""
    plan = Plan(SIZES[size], seed, Span.of(first, end))
    make(plan, Target(folder), force=False, processes=1, progress=lambda done, of: None)
    write_key(folder)
    return folder


@contextmanager
def exposed(folder: Path, *, now: datetime = AFTER, **settings: str) -> Iterator[bank_app.Served]:
    """The bank that hands out a data set, on sockets of its own in a thread."""
    environment = {
        "WATTBOOK_SANDBOX_SEED": "7", "WATTBOOK_SANDBOX_BANK_LISTEN": "127.0.0.1:0",
        "WATTBOOK_SANDBOX_BANK_CONTROL_LISTEN": "127.0.0.1:0",
        "WATTBOOK_SANDBOX_BANK_SOURCE": str(folder),
        **{f"WATTBOOK_SANDBOX_BANK_{name.upper()}": value for name, value in settings.items()},
    }  # fmt: skip
    loaded, clock = load(bank_app.Settings, environment), FakeClock(now)
    data = bank_app.data_set(loaded, clock=clock)
    found: list[bank_app.Served] = []
    known, ending = threading.Event(), threading.Event()

    async def serve() -> None:
        async with bank_app.served(loaded, data, clock=clock) as served:
            found.append(served)
            known.set()
            await asyncio.to_thread(ending.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert known.wait(20), "the bank did not start"
        yield found[0]
    finally:
        ending.set()
        thread.join(10)
