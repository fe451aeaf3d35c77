"""Single bookings over REST, beside a typical single-process FastAPI + SQLite service."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from bench import load
from bench.context import Context, Row, at_least, at_most, basic, plain
from bench.data import bodies
from tests.support.ports import free_port
from tests.support.waiting import wait_until

CONNECTIONS = 32
GOAL_PER_S = 1500
GOAL_P99_MS = 60


def run(context: Context) -> list[Row]:
    with context.product() as desk:
        ours = measure(context, desk.url, basic(desk))
    theirs = {wal: baseline(context, wal=wal) for wal in (False, True)}
    return [
        at_least("bookings, 32 connections", ours.per_second, GOAL_PER_S, "/s"),
        plain("  p50", ours.p50_ms, "ms", decimals=1),
        at_most("  p99", ours.p99_ms, GOAL_P99_MS, "ms"),
        *(_row(name, theirs[wal], ours) for name, wal in (("as it comes", False), ("in WAL mode", True))),
    ]


def _row(name: str, theirs: load.Answered | None, ours: load.Answered) -> Row:
    what = f"baseline FastAPI + SQLite {name}"
    if theirs is None:
        return Row(what, "not installed (dependency group bench)")
    faster, shorter = ours.per_second / theirs.per_second, theirs.p99_ms / ours.p99_ms
    compared = f"Wattbook books {faster:.1f} × as many, its p99 is {shorter:.1f} × shorter"
    return Row(what, f"{theirs.per_second:,.0f} /s, p99 {theirs.p99_ms:,.0f} ms: {compared}")


def measure(context: Context, url: str, authorization: str, *, series: str = "s") -> load.Answered:
    """Warm up, then measure; every answer must be a good one. ``series`` makes ids that are new."""
    asked = load.Load(
        url,
        CONNECTIONS,
        method="POST",
        headers={"Authorization": authorization, "Content-Type": "application/json"},
        paths=("/v1/trades",),
        bodies=_bodies(series),
    )
    warm = replace(asked, bodies=_bodies(f"{series}w"))
    load.run(warm, seconds=context.sizes.warm_up_s).clean()
    return load.run(asked, seconds=context.sizes.seconds).clean()


def _bodies(series: str) -> tuple[str, ...]:
    return tuple(body.replace("s_@", f"{series}_@") for body in bodies())


def baseline(context: Context, *, wal: bool) -> load.Answered | None:
    try:
        import fastapi  # noqa: F401
    except ImportError:
        return None
    context.say(f"measuring the baseline{' in WAL mode' if wal else ''} …")
    password = secrets.token_urlsafe()
    authorization = "Basic " + base64.b64encode(f"bench:{password}".encode()).decode()
    with _baseline_running(context.folder / f"baseline-{wal}.db", password, wal=wal) as url:
        return measure(context, url, authorization)


@contextmanager
def _baseline_running(store: Path, password: str, *, wal: bool) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.baseline_fastapi:app", "--port", str(port)]
    environment = {
        **os.environ,
        "BASELINE_DB": str(store),
        "BASELINE_PASSWORD": password,
        "BASELINE_WAL": "1" if wal else "0",
    }
    process = subprocess.Popen([*command, "--log-level", "warning", "--no-access-log"], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(
            lambda: httpx.get(f"{url}/docs", timeout=2, trust_env=False).status_code == 200,
            timeout_s=20,
            what="the baseline answers",
        )
        yield url
    finally:
        process.terminate()
        process.wait(10)
