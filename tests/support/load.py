"""Many clients booking while things break, and what they were told compared with the book."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from threading import Event, Lock
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from tests.support.client import Client, read_batch
from tests.support.trades import as_ndjson, figures_of_day, random_trade, report_figures, unique
from tests.support.waiting import wait_until

DAY = date(2023, 2, 28)
AGAIN = (429, 500, 502, 503, 504)
RETRY_FOR_S = 45.0
ANSWER_S = 15.0


class HasClients(Protocol):
    """A started product, however its processes are run."""

    def client(self) -> Client: ...


@dataclass
class Told:
    """What the clients sent and what they were told; safe from several threads."""

    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    unanswered: dict[str, dict[str, Any]] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)

    def acknowledge(self, trades: list[dict[str, Any]]) -> None:
        with self.lock:
            for trade in trades:
                self.acknowledged[trade["id"]] = trade

    def give_up(self, trades: list[dict[str, Any]]) -> None:
        with self.lock:
            for trade in trades:
                self.unanswered[trade["id"]] = trade

    def count(self, what: str) -> None:
        with self.lock:
            self.statuses[what] += 1

    def surprise(self, what: str) -> None:
        with self.lock:
            self.surprises.append(what)


class Load:
    """``threads`` clients that book singles and batches, retrying what was not answered, until stopped.

    Every fourth client never retries: what it was not told about may be booked or not, and both are right.
    """

    def __init__(
        self, desk: HasClients, *, threads: int = 8, seed: int = 1, traders: int = 4,
        retry_for_s: float = RETRY_FOR_S, answer_s: float = ANSWER_S,
    ) -> None:  # fmt: skip
        self.desk = desk
        self.told = Told()
        self.traders = [unique("trader") for _ in range(traders)]
        self._seed = seed
        self._threads = threads
        self._retry_for_s = retry_for_s
        self._answer_s = answer_s
        self._stop = Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="load")
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._running = [self._pool.submit(self._work, number) for number in range(self._threads)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """Stop booking and wait for the last answers."""
        self._stop.set()
        self._pool.shutdown(wait=True)
        for each in self._running:
            each.result()

    def wait_acknowledged(self, more: int, *, timeout_s: float = 40.0) -> None:
        """Until that many more trades were acknowledged than now."""
        target = len(self.told.acknowledged) + more
        wait_until(
            lambda: len(self.told.acknowledged) >= target, timeout_s=timeout_s, what=f"{more} more bookings"
        )

    def _work(self, number: int) -> None:
        chooser = random.Random(self._seed * 1000 + number)
        retries = number % 4 != 3
        with self.desk.client() as client:
            client.http.timeout = httpx.Timeout(self._answer_s)
            while not self._stop.is_set():
                size = chooser.choice((1, 1, 1, 7, 40))
                trades = [
                    random_trade(chooser, trader_id=chooser.choice(self.traders), day=DAY)
                    for _ in range(size)
                ]
                self._send(client, trades, retries=retries)

    def _send(self, client: Client, trades: list[dict[str, Any]], *, retries: bool) -> None:
        deadline = monotonic() + self._retry_for_s
        pause = Event()
        while True:
            if self._try(client, trades):
                self.told.acknowledge(trades)
                return
            if not retries or monotonic() > deadline:
                self.told.give_up(trades)
                if retries:
                    self.told.surprise(f"no answer within {self._retry_for_s} s")
                pause.wait(0.05)
                return
            pause.wait(0.05)

    def _try(self, client: Client, trades: list[dict[str, Any]]) -> bool:
        """Whether all of them were acknowledged."""
        try:
            answer = (
                client.book(trades[0])
                if len(trades) == 1
                else client.post_batch(as_ndjson(trades), results="refused")
            )
        except httpx.TransportError as error:
            self.told.count(type(error).__name__)
            return False
        self.told.count(str(answer.status_code))
        if answer.status_code in AGAIN:
            if answer.json().get("status_code") != answer.status_code:
                self.told.surprise(f"not the contract's error: {answer.text[:200]}")
            return False
        if answer.status_code != 200:
            self.told.surprise(f"{answer.status_code}: {answer.text[:200]}")
            return False
        if len(trades) > 1 and read_batch(answer).counts[2:] != (0, 0):
            self.told.surprise(f"refused rows: {answer.text[:300]}")
        return True


def assert_nothing_lost_or_doubled(load: Load) -> None:
    """The book holds each acknowledged trade exactly once and as sent, and nothing nobody sent."""
    told = load.told
    with load.desk.client() as client:
        stored = [found for trader in load.traders for found in client.trades(trader_id=trader)]
    by_id = {found["id"]: found for found in stored}

    assert not told.surprises, told.surprises[:5]
    assert len(by_id) == len(stored), "a trade is stored twice"
    missing = told.acknowledged.keys() - by_id.keys()
    assert not missing, f"{len(missing)} of {len(told.acknowledged)} acknowledged trades are missing"
    assert by_id.keys() <= told.acknowledged.keys() | told.unanswered.keys()
    for identity, sent in told.acknowledged.items():
        assert {**by_id[identity], "quantity": float(by_id[identity]["quantity"])} == sent


def assert_report_equals_book(load: Load, *, timeout_s: float = 20.0) -> None:
    """Every trader's report, once it caught up, is what the stored trades add up to."""
    with load.desk.client() as client:
        for trader in load.traders:
            expected = figures_of_day(client.trades(trader_id=trader), DAY)

            def caught_up(trader: str = trader, expected: object = expected) -> bool:
                return report_figures(client.report(trader, DAY)) == expected

            wait_until(caught_up, timeout_s=timeout_s, what=f"{trader}'s report equals the book")
