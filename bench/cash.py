"""Company cash: from the bank's JSON over HTTP to balances that can be asked for, and asking for them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
from wattbook_proto import cash_pb2

from bench.context import FULL, Context, Row, at_most, plain
from tests.support import engines
from tests.support.cash import Cash, made_set
from tests.support.ports import free_port
from tests.support.waiting import wait_until

LOAD_GOALS_S = {"small": 5.0, "medium": 12.0, "large": 100.0}
LARGE_ON_POSTGRESQL_S = 120.0
GOAL_P99_MS, POSTGRESQL_P99_MS = 10.0, 20.0
QUESTIONS = 400
YEAR = {"from_us": 1_609_459_200_000_000, "before_us": 1_640_995_200_000_000}  # 2021


def run(context: Context) -> list[Row]:
    rows: list[Row] = []
    for size in ("small", "medium", "large") if context.sizes == FULL else ("small",):
        folder = context.new_folder()
        cash = Cash(engines.store_url(folder, "cash"))
        try:
            with _bank(made_set(folder / size, size=size)) as url:
                rows += _load(cash, url, size)
            rows += _questions(cash, size)
        finally:
            cash.close()
    return rows


def _load(cash: Cash, url: str, size: str) -> list[Row]:
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    cash.follow(url)
    seconds, processor_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    status = cash.ask("Status", cash_pb2.StatusRequest())
    payments = sum(source.payments for source in status.sources)
    goal_s = LOAD_GOALS_S[size]
    if size == "large" and engines.is_production():
        goal_s = LARGE_ON_POSTGRESQL_S
    return [
        at_most(f"load {size}, {payments:,} payments, JSON to balances", seconds, goal_s, "s"),
        plain("  processor of that, of cash-service alone", processor_s, "s", decimals=1),
    ]


def _questions(cash: Cash, size: str) -> list[Row]:
    """Each asked of random companies, one after the other, without gRPC around it."""
    found = cash.ask("Companies", cash_pb2.CompaniesRequest(limit=1000, sort="id"))
    ids, chance = [each.id for each in found.companies], Random(7)
    goal_ms = POSTGRESQL_P99_MS if engines.is_production() else GOAL_P99_MS
    questions: dict[str, Callable[[int], Any]] = {
        "balance at an instant": lambda id_: cash.ask("Balance", cash_pb2.BalanceRequest(company_id=id_)),
        "a year by month": lambda id_: cash.ask(
            "History", cash_pb2.HistoryRequest(company_id=id_, interval=cash_pb2.MONTH, **YEAR)
        ),
        "a year by day": lambda id_: cash.ask(
            "History", cash_pb2.HistoryRequest(company_id=id_, interval=cash_pb2.DAY, **YEAR)
        ),
    }
    rows = []
    for what, ask in questions.items():
        taken_ms = sorted(_taken_ms(ask, chance.choice(ids)) for _ in range(QUESTIONS))
        goal = goal_ms * (2 if "day" in what else 1)
        rows.append(plain(f"  {size}: {what}, median", statistics.median(taken_ms), "ms", decimals=2))
        rows.append(at_most("    p99", taken_ms[int(len(taken_ms) * 0.99)], goal, "ms"))
    return rows


def _taken_ms(ask: Callable[[int], Any], company_id: int) -> float:
    began_s = time.perf_counter()
    ask(company_id)
    return (time.perf_counter() - began_s) * 1000


@contextmanager
def _bank(folder: Path) -> Iterator[str]:
    """The exposer of a data set as a process of its own: its address."""
    api, control = free_port(), free_port()
    told = {
        "WATTBOOK_SANDBOX_BANK_LISTEN": f"127.0.0.1:{api}",
        "WATTBOOK_SANDBOX_BANK_CONTROL_LISTEN": f"127.0.0.1:{control}",
        "WATTBOOK_SANDBOX_BANK_SOURCE": str(folder),
    }
    command = [sys.executable, "-m", "sandbox.bank", "serve"]
    with subprocess.Popen(command, env={**os.environ, **told}, stderr=subprocess.DEVNULL) as bank:
        try:
            wait_until(
                lambda: _answers(f"http://127.0.0.1:{control}/healthz"), timeout_s=30, what="bank is up"
            )
            yield f"http://127.0.0.1:{api}"
        finally:
            bank.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False
