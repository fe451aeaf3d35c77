"""Flow files: read and checked, stored where meters are known and where all are new, withdrawn."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from meter_service.domain.nem13 import Reader
from sandbox.flow_files.domain import Plan, daily_files

from bench.context import Context, Row, at_least, at_most, plain
from tests.support import meters
from tests.support.engines import is_production, store_url

PARSED_PER_S, OF_BARE = 250_000, 0.3
# On SQLite, and on PostgreSQL: into known meters, and where every meter is new.
KNOWN_PER_S, NEW_PER_S = (90_000, 75_000), (45_000, 25_000)
MONTH_DAYS = 30
READINGS_A_POINT = 1.4  # a part of the meter points has two registers
CHUNK_BYTES = 262_144


def run(context: Context) -> list[Row]:
    folder = context.new_folder()
    points = round(context.sizes.meter_readings / READINGS_A_POINT)
    first, second = (_month(folder / f"{month}.csv", points, month) for month in (0, 1))
    parsed_s, bare_s, records = _parsed(second)
    on = int(is_production())
    with meters.store(store_url(folder, "meter")):
        new_per_s, _ = _imported(first)
        known_per_s, sha256 = _imported(second)
        began = time.perf_counter()
        meters.withdrawn(sha256)
        withdrawn_s = time.perf_counter() - began
    return [
        at_least(f"{records:,} × 250 read and checked", records / parsed_s, PARSED_PER_S, "/s"),
        at_least(
            "  in hundredths of what a bare csv.reader does", 100 * bare_s / parsed_s, 100 * OF_BARE, ""
        ),
        at_least("  stored, original kept, meters known", known_per_s, KNOWN_PER_S[on], "/s"),
        at_least("  the same, every meter new", new_per_s, NEW_PER_S[on], "/s"),
        at_most("  withdrawn", withdrawn_s, 10, "s"),
        plain("  this process's memory after it", psutil.Process().memory_info().rss / 1024**2, "MiB"),
    ]


def _month(path: Path, points: int, month: int) -> Path:
    """All that is read of the meter points in a month, in one file."""
    days = list(daily_files(Plan(points, (month + 1) * MONTH_DAYS, seed=1)))[month * MONTH_DAYS :]
    with path.open("w", encoding="ascii", newline="") as file:
        for _, lines in days[:1]:
            file.write(f"{next(lines)}\r\n")
        for _, lines in days:
            file.writelines(f"{line}\r\n" for line in lines if line.startswith("250"))
        file.write("900\r\n")
    return path


def _parsed(path: Path) -> tuple[float, float, int]:
    """Seconds of processor time to read it, of a bare reader to do so, and how many records there are."""
    began = time.process_time()
    with path.open(newline="") as file:
        for _ in csv.reader(file):
            pass
    bare_s, began = time.process_time() - began, time.process_time()
    reader = Reader(_chunks(path))
    for _ in reader.batches():
        pass
    parsed_s = time.process_time() - began
    if reader.findings.error_count:
        raise RuntimeError(f"it has errors: {reader.findings.errors[0]}")
    return parsed_s, bare_s, reader.records


def _imported(path: Path) -> tuple[float, str]:
    """Records a second, and the content's SHA-256."""
    content = path.read_bytes()
    began = time.perf_counter()
    outcome = meters.one(content, name=path.name)
    took_s = time.perf_counter() - began
    if outcome.result != "imported":
        raise RuntimeError(f"it is {outcome.result}")
    return outcome.counts.records / took_s, outcome.sha256


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
