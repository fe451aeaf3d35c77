"""The nightly file through drop folder and REST, beside the engine's bare bulk insert of the same rows."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from bench import bare
from bench.context import Context, Row, at_most, drop_and_wait, plain, wait_reported
from bench.data import nightly_file
from bench.machine import Spent, peak_rss
from tests.support import engines

GOAL_S = 30
GOAL_MIB = 300


def run(context: Context) -> list[Row]:
    rows = context.sizes.nightly_rows
    made = nightly_file(context.folder / "nightly", rows=rows)
    with context.product(made.folder) as desk, desk.client() as client:
        with peak_rss(lambda: [desk.process(), *desk.family()]) as peaks:
            spent = Spent([desk.process(), *desk.family()])
            began = time.perf_counter()
            archived_s = drop_and_wait(desk, made)
            wait_reported(client, made)
            shown_s = time.perf_counter() - began
            processor = spent.said()
        if list(desk.rejected.glob("*")):
            raise RuntimeError("rows were rejected")
        if engines.is_production():
            how = "COPY of the same rows into the same indices, commits of the same size"
            bare_s = rows / bare.copied_per_s(desk.store_url("trade"))
    if not engines.is_production():
        how = "executemany of the same rows, same tables, one durable commit"
        bare_s = bare_insert(desk.data / "stores" / "trade.db", context.folder / "bare.db", rows=rows)
    context.keep(made)
    biggest = max(peaks, key=lambda name: peaks[name])
    return [
        at_most(f"{rows:,} rows, rename into the inbox to archived", archived_s, GOAL_S, "s"),
        plain("  the same in rows", rows / archived_s, "/s"),
        plain("  until the report shows the last row", shown_s, "s", decimals=1),
        at_most(
            f"  peak memory of the biggest process ({biggest})", peaks[biggest], GOAL_MIB, "MiB", decimals=0
        ),
        Row(
            "  peak memory of each", ", ".join(f"{name} {size:.0f}" for name, size in peaks.items()) + " MiB"
        ),
        Row("  processor time of each", processor),
        Row(
            f"  bare {how}",
            f"{bare_s:.1f} s: Wattbook takes {archived_s / bare_s:.1f} × as long",
        ),
    ]


def bare_insert(store: Path, target: Path, *, rows: int) -> float:
    """Seconds to insert the book's rows into an empty table like the book's, indexes included, and commit."""
    with sqlite3.connect(store) as source:
        ddl = source.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'trades' AND sql IS NOT NULL ORDER BY type DESC"
        ).fetchall()
        booked = source.execute("SELECT * FROM trades ORDER BY booking_seq").fetchall()
    if len(booked) != rows:
        raise RuntimeError(f"the book holds {len(booked)} of {rows} trades")
    bare = sqlite3.connect(target, isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    for (statement,) in ddl:
        bare.execute(statement)
    marks = ",".join("?" * len(booked[0]))
    began = time.perf_counter()
    bare.execute("BEGIN IMMEDIATE")
    bare.executemany(f"INSERT INTO trades VALUES ({marks})", booked)
    bare.execute("COMMIT")
    elapsed_s = time.perf_counter() - began
    bare.close()
    target.unlink()
    return elapsed_s
