"""Make a data set: part by part, in as many processes as wanted, the same whatever their number."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from sandbox.bank.domain.accounts import Accounts, accounts_of
from sandbox.bank.domain.payments import Payments, payments_of
from sandbox.bank.domain.sets import Part, Plan
from sandbox.bank.store import folder

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """What every process of a run knows."""

    plan: Plan
    accounts: Accounts
    out: Path
    format: str


_job: list[Job] = []  # of a process that makes parts


def make(plan: Plan, *, out: Path, format: str, force: bool, processes: int, progress: Progress) -> None:
    """Make a folder; ``progress`` hears of the rows made so far, and of all.

    Raises:
        Conflict: the folder is not empty, and ``force`` is not given.
    """
    folder.begin(out, plan, force=force)
    job = Job(plan, accounts_of(plan.size, seed=plan.seed), out, format)
    done = 0
    for rows in _made(job, processes):
        done += rows
        progress(done, plan.rows)
    folder.finish(out, plan, job.accounts, format)


def _made(job: Job, processes: int) -> Iterator[int]:
    """Make all parts; the rows of each as it is done."""
    _begin(job)
    # The largest last would leave the others idle at the end.
    parts = sorted(job.plan.parts(), key=lambda part: -job.plan.size.payments[part.source])
    if processes == 1:
        yield from map(_make_part, parts)
        return
    pool = ProcessPoolExecutor(processes, _context(), initializer=_begin, initargs=(job,))
    with pool:
        left: set[Future[int]] = {pool.submit(_make_part, part) for part in parts}
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def _context() -> multiprocessing.context.BaseContext:
    """Forking is quick, and nothing has threads yet."""
    ways = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("fork" if "fork" in ways else "spawn")


def _begin(job: Job) -> None:
    _job[:] = [job]


def _make_part(part: Part) -> int:
    (job,) = _job
    made = _payments(job, part)
    folder.write_part(job.out, part, made, job.accounts, job.format)
    return sum(job.plan.size.rows(part.source, window) for window in part.windows)


def _payments(job: Job, part: Part) -> Iterator[Payments]:
    plan = job.plan
    for window in part.windows:
        yield payments_of(
            plan.size, job.accounts, seed=plan.seed, source=part.source, window=window, span=plan.span
        )
