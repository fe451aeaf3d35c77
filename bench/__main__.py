"""``python -m bench [NAME…] [--quick]``: measure, print a table, and keep it in bench/RESULTS.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import (
    bank_maker,
    batch,
    bus,
    capacity,
    cash,
    consume,
    feed,
    live,
    load,
    machine,
    meters,
    nightly,
    page,
    pricing,
    report,
    rest,
    results,
    singles,
    startup,
    storm,
    streams,
    tieout,
    tracing,
)
from bench.context import FULL, QUICK, Context, Row
from tests.support import engines

BENCHMARKS: dict[str, Callable[[Context], list[Row]]] = {
    "startup": startup.run,
    "rest": rest.run,
    "singles": singles.run,
    "batch": batch.run,
    "nightly": nightly.run,
    "report": report.run,
    "page": page.run,
    "bus": bus.run,
    "consume": consume.run,
    "pricing": pricing.run,
    "live": live.run,
    "feed": feed.run,
    "storm": storm.run,
    "streams": streams.run,
    "tieout": tieout.run,
    "tracing": tracing.run,
    "bank_maker": bank_maker.run,
    "meters": meters.run,
    "cash": cash.run,
}
# How one machine starts with one command; what pods take is in "rest".
EMBEDDED_ONLY = {"startup", "bank_maker"}


def main() -> int:
    chosen = arguments()
    facts = {**machine.facts(), "load generator": load.generator()}
    kept_in = results.EMBEDDED
    if chosen.engine == "production":
        os.environ |= {"WATTBOOK_TEST_ENGINE": "production", "WATTBOOK_TEST_DURABLE": "true"}
        facts["engines"] = "private PostgreSQL (fsync on) and RabbitMQ on the same machine"
        kept_in = results.PRODUCTION
    say("\n".join(f"{name}: {value}" for name, value in facts.items()))
    measured: dict[str, list[Row]] = {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="wattbook-bench-", dir=chosen.folder) as folder:
        context = Context(QUICK if chosen.quick else FULL, say, Path(folder))
        for name in chosen.names or _usual(chosen.engine):
            say(f"\n{name} …")
            began = time.perf_counter()
            try:
                measured[name] = BENCHMARKS[name](context)
            except Exception as error:
                failed = True
                say(f"{name} failed: {error}")
                continue
            say(results.as_text(measured[name]))
            say(f"({time.perf_counter() - began:.0f} s)")
    if not chosen.quick:
        results.keep(kept_in, facts, measured, order=list(BENCHMARKS))
        say(f"\nkept in bench/{kept_in.name}")
        if kept_in == results.PRODUCTION:
            capacity.write()
    engines.close_shared_servers()
    return 1 if failed else 0


def _usual(engine: str) -> list[str]:
    return [name for name in BENCHMARKS if engine == "embedded" or name not in EMBEDDED_ONLY]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Wattbook on this machine.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; default all"
    )
    parser.add_argument("--quick", action="store_true", help="only prove that they run; keeps no results")
    parser.add_argument("--engine", choices=["embedded", "production"], default="embedded")
    parser.add_argument("--folder", type=Path, help="where the thrown-away data lies (default: the system's)")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return chosen


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
