"""How fresh reference prices are over simulated days, against the best that the limits allow.

Days take seconds: the service's own poller runs over a model provider that publishes irregularly, and that
counts requests in its own way. Its network takes 10-40 ms there and back, a commit 4 ms.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable
from random import Random

from bench.context import Context, Row, at_most, plain
from tests.support.price_day import Cycle, World, bound_s

GOAL = 1.2
FULL_DAYS, QUICK_HOURS = 5, 2
KILLS_A_DAY = 48


def run(context: Context) -> list[Row]:
    quick = context.sizes.seconds < 2
    hours = QUICK_HOURS if quick else 24
    seeds = range(1 if quick else FULL_DAYS)
    logging.getLogger("pricing_service").setLevel(logging.ERROR)
    rows: list[Row] = []
    violations = 0
    for wanted in (24, 37):
        days = [_day(wanted, seed, hours) for seed in seeds]
        violations += sum(refused for _, refused in days)
        cycles = [cycle for found, _ in days for cycle in found if cycle.needed == wanted]
        rows += _rows(f"{wanted} hours wanted, {len(cycles)} cycles", cycles)
    for name, replicas in (("restarts", 1), ("two replicas, killed in turn", 2)):
        found, refused = _day(37, 7, hours, replicas=replicas, disturb=_kills)
        violations += refused
        waits = [cycle.wait_s for cycle in found if cycle.wait_s is not None]
        rows.append(plain(f"  median with {name}", statistics.median(waits), "s", decimals=2))
    rows.append(at_most("requests over the limits, as the provider counts", violations, 0, "", decimals=0))
    return rows


def _day(
    wanted: int,
    seed: int,
    hours: float,
    *,
    replicas: int = 1,
    disturb: Callable[[World, float], None] | None = None,
) -> tuple[list[Cycle], int]:
    world = World(wanted=wanted, seed=100 + seed, replicas=replicas)
    if disturb:
        disturb(world, hours)
    return world.run(hours=hours), world.provider.violations


def _kills(world: World, hours: float) -> None:
    rng = Random(1)
    for _ in range(int(KILLS_A_DAY * hours / 24)):
        at_s, replica = rng.uniform(0, hours * 3600), rng.choice(world.replicas)
        world.after(at_s, replica.kill)
        world.after(at_s + rng.uniform(0.5, 10.0), replica.start)


def _rows(what: str, cycles: list[Cycle]) -> list[Row]:
    waits = sorted(600.0 if cycle.wait_s is None else cycle.wait_s for cycle in cycles)
    rest = [600.0 if cycle.rest_wait_s is None else cycle.rest_wait_s for cycle in cycles]
    best_s = statistics.fmean(bound_s(cycle.needed) for cycle in cycles)
    return [
        at_most(
            f"{what}: mean wait for all of them", statistics.fmean(waits), GOAL * best_s, "s", decimals=3
        ),
        plain("  the best that any schedule could do", best_s, "s", decimals=3),
        plain("  p99", waits[int(0.99 * (len(waits) - 1))], "s", decimals=2),
        plain("  mean wait for every tradable hour", statistics.fmean(rest), "s", decimals=1),
    ]
