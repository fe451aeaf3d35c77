"""The bank's data: made into a folder, and written as the API hands them out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
from sandbox.bank.api.original import STYLE as ORIGINAL
from sandbox.bank.api.wattbook import STYLE as WATTBOOK
from sandbox.bank.domain.encoding import Style, array_text
from sandbox.bank.domain.rows import DataSet
from sandbox.bank.domain.sizes import SWIFT
from sandbox.bank.store.folder import Folder

from bench.context import FULL, Context, Row, at_most, plain

GOALS_S = {"small": 2.0, "medium": 2.0, "large": 15.0, "mega": 150.0}
GOAL_MIB = 2048
_WINDOWS = 20


def run(context: Context) -> list[Row]:
    sizes = ("medium", "large", "mega") if context.sizes == FULL else ("small",)
    rows: list[Row] = []
    for size in sizes:
        folder = context.new_folder() / size
        made, seconds, most_mib = _make(size, folder)
        payments = made["rows"]["sepa"] + made["rows"]["swift"]
        rows += [
            at_most(f"make {size}, {payments:,} payments, a folder", seconds, GOALS_S[size], "s"),
            at_most("  all its processes at once, resident", most_mib, GOAL_MIB, "MiB", decimals=0),
        ]
        if size == sizes[min(1, len(sizes) - 1)]:
            data = Folder(folder)
            for name, style in (("wattbook", WATTBOOK), ("original", ORIGINAL)):
                what = f"  {size} read and written as JSON, dialect {name}, processor"
                rows.append(plain(what, _encoding_s(data, style, payments), "s", decimals=1))
        shutil.rmtree(folder)
    return rows


def _make(size: str, folder: Path) -> tuple[dict[str, dict[str, int]], float, float]:
    """What the maker says, the seconds from its start to its end, and the most memory of its processes."""
    command = [sys.executable, "-m", "sandbox.bank", "make", "--size", size, "--out", str(folder), "--json"]
    began, most = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as maker:
        process = psutil.Process(maker.pid)
        while maker.poll() is None:
            most = max(most, _resident(process))
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        if maker.returncode or maker.stdout is None:
            raise RuntimeError(f"the maker ended with {maker.returncode}")
        return json.loads(maker.stdout.read()), seconds, most / 2**20


def _resident(process: psutil.Process) -> int:
    found = 0
    try:
        for each in (process, *process.children()):
            found += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # ended meanwhile
    return found


def _encoding_s(data: DataSet, style: Style, payments: int) -> float:
    """Processor for all payments, from some windows."""
    written, began = 0, time.process_time()
    for window in range(data.first_window + 1, data.first_window + 1 + _WINDOWS):
        rows = data.rows(SWIFT, window)
        array_text(rows, style)
        written += len(rows)
    return (time.process_time() - began) / written * payments
