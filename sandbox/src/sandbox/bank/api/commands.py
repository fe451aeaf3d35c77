"""``python -m sandbox.bank make`` and ``key``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from wattbook.errors import InvalidInput, WattbookError

from sandbox.bank.domain.sets import Plan
from sandbox.bank.domain.sizes import DEFAULT_FROM, DEFAULT_TO, SIZES, SOURCES, Span
from sandbox.bank.store.database import database_url
from sandbox.bank.store.folder import FORMATS
from sandbox.bank.store.key import write_key
from sandbox.bank.usecases.make import Target, make

SIZE_VARIABLE = "SETTING"
_ALONE = 200_000  # rows that one process has made before a second one has started
_LOOK = 10  # lines of progress where nobody watches


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command; its exit status."""
    given = _parser(environment).parse_args(arguments)
    try:
        if given.command == "key":
            print(write_key(given.out))
        else:
            _make(given, environment)
    except (WattbookError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _make(given: argparse.Namespace, environment: Mapping[str, str]) -> None:
    started = time.monotonic()
    try:
        plan = Plan(SIZES[given.size], given.seed, Span.of(given.start, given.end))
    except ValueError as error:
        raise InvalidInput(f"--from, --to: {error}") from None
    processes = given.processes or (min(os.cpu_count() or 1, 8) if plan.rows > _ALONE else 1)
    database = database_url(environment, given.database)
    if not given.out and not database:
        raise InvalidInput("--out FOLDER or --database URL: where are they to go?")
    target = Target(given.out, given.format, database)
    made = make(plan, target, force=given.force, processes=processes, progress=_Progress())
    rows = {source: sum(plan.size.rows(source, w) for w in plan.span.windows) for source in SOURCES}
    seconds = round(time.monotonic() - started, 2)
    if given.json:
        out = str(given.out) if given.out else None
        print(json.dumps({**plan.as_dict(), "out": out, "rows": rows, "seconds": seconds}))
    else:
        said = ", ".join(f"{count:,} {source.upper()}" for source, count in rows.items())
        took = f"in {seconds:g} s" if made else "are there already"
        print(f"{plan.size.name}: {plan.size.companies:,} companies, {said} payments {took}")


class _Progress:
    """One line on standard error that changes; where that is no terminal, a few lines."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._said = 0

    def __call__(self, done: int, of: int) -> None:
        step = done * (100 if self._watched else _LOOK) // of
        if step == self._said:
            return
        self._said = step
        end = "\r" if self._watched and done < of else "\n"
        print(f"made {done:,} of {of:,} payments", end=end, file=sys.stderr, flush=True)


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox.bank", description="Make cash-flow data.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make a data set")
    size = environment.get(SIZE_VARIABLE) or "small"
    making.add_argument("--size", type=_size, default=size, help=f"{', '.join(SIZES)} (or {SIZE_VARIABLE}=…)")
    making.add_argument("--seed", type=_seed, default=1, help="what chance follows")
    making.add_argument("--from", dest="start", type=_day, default=DEFAULT_FROM, help="first day")
    making.add_argument("--to", dest="end", type=_day, default=DEFAULT_TO, help="the day after the last")
    making.add_argument("--out", type=Path, help="folder to make")
    making.add_argument("--database", help="sqlite:///path or postgresql://user@host/name to fill")
    making.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    making.add_argument("--processes", type=_processes, help="default: one a processor")
    making.add_argument("--force", action="store_true", help="replace what an earlier run made there")
    making.add_argument("--json", action="store_true", help="say what was made as JSON")
    key = commands.add_parser("key", help="write a folder's answer key: every balance at every quarter's end")
    key.add_argument("out", type=Path)
    return parser


def _size(text: str) -> str:
    if text not in SIZES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SIZES)}")
    return text


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write YYYY-MM-DD") from None


def _processes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not in 1…64")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)
