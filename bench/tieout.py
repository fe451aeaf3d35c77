"""A nightly file of a million rows against a million trades of the feed, in the service's own code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path

import psutil
from ingest_service.clients import DropFolder, SourceFile
from ingest_service.domain import filed_trade
from ingest_service.store import FeedDays, Spool, Spooled
from ingest_service.store.spool import add_feed_trades
from ingest_service.usecases import Reconciler
from ingest_service.usecases.file_rows import FileRows
from wattbook.clock import SystemClock
from wattbook.db import Store, migrate, open_store
from wattbook.trade.statement import csv_trade

from bench.context import Context, Row, plain
from bench.data import fields, nightly_file

DAY = date(2023, 2, 20)
RECOVERED, DIFFERING, ONLY_FEED = 40, 30, 20
PAGE_ROWS = 5_000
MIB = 1024 * 1024


def run(context: Context) -> list[Row]:
    rows = context.sizes.nightly_rows
    folder = context.new_folder()
    made = nightly_file(folder / "file", rows=rows)
    store = open_store(f"sqlite:///{folder}/ingest.db", name="ingest")
    try:
        migrate(store, "ingest_service")
        filled_s = _fill(store, rows)
        began, before = time.perf_counter(), _resident()
        _compare(store, made.file)
        took_s, grown = time.perf_counter() - began, _resident() - before
        found = FeedDays(store).reconciliation(DAY.isoformat())
    finally:
        store.close()
    counted = (found.recovered, found.differing, found.feed_only)
    if counted != (RECOVERED, DIFFERING, ONLY_FEED):
        raise RuntimeError(f"it found {counted}")
    return [
        plain(f"tie-out of {rows:,} rows with {rows:,} trades of the feed", took_s, "s", decimals=1),
        plain("  the same in rows", rows / took_s, "/s"),
        plain("  more memory while it compares", grown / MIB, "MiB"),
        plain("  to write the feed's trades down before", filled_s, "s", decimals=1),
    ]


def _compare(store: Store, path: Path) -> None:
    reconciler = Reconciler(days=FeedDays(store), spool=Spool(store), clock=SystemClock())
    with path.open("rb") as file:
        source = SourceFile(path.name, file.fileno())
        rows = FileRows(source, folder=DropFolder(path.parent), key="bench", keep_going=lambda: True)
        rows.compare_with(reconciler.begin(lambda: True))
        rows.finish(name=path.name, sha256="0" * 64)


def _fill(store: Store, rows: int) -> float:
    """What the feed delivered: the file's trades, without some, with others, and some of other content."""
    began = time.perf_counter()
    trades = _heard(rows)
    while page := list(islice(trades, PAGE_ROWS)):
        with store.write(durable=False) as connection:
            add_feed_trades(connection, page)
    return time.perf_counter() - began


def _heard(rows: int) -> Iterator[tuple[object, Spooled]]:
    for number in range(RECOVERED, rows + ONLY_FEED):
        stated = fields(number) if number < rows else (f"only_{number}", *fields(number - rows)[1:])
        trade = filed_trade(csv_trade([str(each) for each in stated]))
        if number < RECOVERED + DIFFERING:
            trade = trade._replace(price_ct_per_mwh=trade.price_ct_per_mwh + 1)
        yield trade, Spooled(number, trade.execution_time_us, "bench", b"")


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)
