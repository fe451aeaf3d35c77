"""From installed to ready, and what everything together, the sandbox too, takes of the memory."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.context import Context, Row, at_most, plain
from bench.machine import pss_mib, rss_mib
from tests.support.live_desk import LiveDesk
from tests.support.waiting import wait_until

GOAL_S = 5
GOAL_MIB = 700


def run(context: Context) -> list[Row]:
    waits_s: list[float] = []
    sizes: dict[str, float] = {}
    shared_mib = 0.0
    for _ in range(context.sizes.starts):
        desk = LiveDesk(Path(tempfile.mkdtemp(dir=context.folder)))
        try:
            waits_s.append(_start(desk))
            processes = [desk.process(), *desk.family()]
            sizes, shared_mib = rss_mib(processes), pss_mib(processes)
            if desk.stop():
                raise RuntimeError(desk.logs())
        finally:
            desk.kill_all()
    total = sum(sizes.values())
    return [
        at_most(
            f"start to ready, the median of {len(waits_s)}",
            statistics.median(waits_s),
            GOAL_S,
            "s",
            decimals=2,
        ),
        at_most("all processes together, resident", total, GOAL_MIB, "MiB", decimals=0),
        plain("  the same with shared pages counted once", shared_mib, "MiB"),
        Row("  each", ", ".join(f"{name} {size:.0f}" for name, size in sizes.items()) + " MiB"),
    ]


def _start(desk: LiveDesk) -> float:
    began = time.perf_counter()
    desk.launch()
    said_ready = lambda: "Wattbook is ready" in desk.log.read_text()  # noqa: E731
    wait_until(said_ready, timeout_s=60, what="ready", every_s=0.02, most_s=0.02)
    return time.perf_counter() - began
