"""Make a data set: part by part, in as many processes as wanted, the same whatever their number."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.engine import URL

from sandbox.bank.domain.accounts import Accounts, accounts_of
from sandbox.bank.domain.payments import Payments, payments_of
from sandbox.bank.domain.sets import Part, Plan
from sandbox.bank.store import folder
from sandbox.bank.store.database import Filling

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Target:
    """Where data go: a folder in some format, a database, or both."""

    out: Path | None = None
    format: str = folder.PARQUET
    database: URL | None = None


@dataclass(frozen=True)
class Job:
    """What every process of a run knows."""

    plan: Plan
    accounts: Accounts
    target: Target


@dataclass(frozen=True)
class _Worker:
    job: Job
    filling: Filling | None


_worker: list[_Worker] = []  # of a process that makes parts


def make(plan: Plan, target: Target, *, force: bool, processes: int, progress: Progress) -> bool:
    """Make it; ``progress`` hears of the rows made so far, and of all. False: the database had it already.

    Raises:
        Conflict: there is something already, and ``force`` is not given.
        Unavailable: the database cannot be reached.
    """
    filling = Filling(target.database) if target.database else None
    if target.out:
        folder.begin(target.out, plan, force=force)
    if filling and not filling.begin(plan, force=force):
        filling = None
    if not (target.out or filling):
        return False
    target = target if filling else replace(target, database=None)
    job = Job(plan, accounts_of(plan.size, seed=plan.seed), target)
    done = 0
    for rows in _made(job, 1 if filling and filling.one_writer else processes):
        done += rows
        progress(done, plan.rows)
    if target.out:
        folder.finish(target.out, plan, job.accounts, target.format)
    if filling:
        filling.finish(plan, job.accounts)
    return True


def _made(job: Job, processes: int) -> Iterator[int]:
    """Make all parts; the rows of each as it is done."""
    # The largest last would leave the others idle at the end.
    parts = sorted(job.plan.parts(), key=lambda part: -job.plan.size.payments[part.source])
    if processes == 1:
        _begin(job)
        yield from map(_make_part, parts)
        return
    with ProcessPoolExecutor(processes, _context(), initializer=_begin, initargs=(job,)) as pool:
        left: set[Future[int]] = {pool.submit(_make_part, part) for part in parts}
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def _context() -> multiprocessing.context.BaseContext:
    """Forking is quick, and nothing has threads yet."""
    ways = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("fork" if "fork" in ways else "spawn")


def _begin(job: Job) -> None:
    database = job.target.database
    _worker[:] = [_Worker(job, Filling(database) if database else None)]


def _make_part(part: Part) -> int:
    (worker,) = _worker
    job, target = worker.job, worker.job.target
    # Made twice where they go to both: that is quicker than it is to keep them, and takes no memory.
    if target.out:
        made = (payments for _, payments in _windows(job, part))
        folder.write_part(target.out, part, made, job.accounts, target.format)
    if worker.filling:
        worker.filling.write_part(part, _windows(job, part), job.accounts)
    return sum(job.plan.size.rows(part.source, window) for window in part.windows)


def _windows(job: Job, part: Part) -> Iterator[tuple[int, Payments]]:
    plan = job.plan
    for window in part.windows:
        yield (
            window,
            payments_of(
                plan.size, job.accounts, seed=plan.seed, source=part.source, window=window, span=plan.span
            ),
        )
