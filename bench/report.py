"""The PnL report over REST with the big book behind it."""

from __future__ import annotations

from bench import load
from bench.context import Context, Row, at_least, at_most, basic, plain
from bench.data import DAYS, TRADERS

CONNECTIONS = 64
GOAL_PER_S = 1500
GOAL_P99_MS = 60


def run(context: Context) -> list[Row]:
    loaded = context.loaded()
    with context.product(loaded.folder) as desk:
        asked = load.Load(desk.url, CONNECTIONS, headers={"Authorization": basic(desk)}, paths=loaded.paths)
        load.run(asked, seconds=context.sizes.warm_up_s).clean()
        many = load.run(asked, seconds=context.sizes.seconds).clean()
        one = load.run(
            load.Load(**{**vars(asked), "paths": asked.paths[:1]}), seconds=context.sizes.seconds
        ).clean()
    return [
        at_least(
            f"reports, 64 connections, {loaded.rows:,} trades, {TRADERS * len(DAYS)} reports in turn",
            many.per_second,
            GOAL_PER_S,
            "/s",
        ),
        plain("  p50", many.p50_ms, "ms", decimals=1),
        at_most("  p99", many.p99_ms, GOAL_P99_MS, "ms"),
        plain("  one report again and again", one.per_second, "/s"),
        plain("  its p99", one.p99_ms, "ms", decimals=1),
    ]
