"""What telemetry costs: single bookings with it off, and on with one trace in ten, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from statistics import median

from bench import load
from bench.context import Context, Row, at_most, basic, plain
from bench.singles import measure
from tests.support.desk import Desk
from tests.support.otlp_sink import otlp_sink

ROUNDS = 9  # short ones: what else the machine does changes from minute to minute
GOAL_PERCENT = 15
RATIO = "0.1"
# As a company would have it: everything exported, at the intervals that the SDK proposes.
SAMPLED = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": RATIO}


def run(context: Context) -> list[Row]:
    """Both run all the time and are asked in turns; each turn is compared with the one beside it."""
    turns: dict[str, list[load.Answered]] = {"off": [], "on": []}
    short = replace(context.sizes, seconds=context.sizes.seconds / 3, warm_up_s=context.sizes.warm_up_s / 3)
    brief = replace(context, sizes=short)
    rounds = ROUNDS if context.sizes.seconds > 2 else 1
    with ExitStack() as running:
        sink = running.enter_context(otlp_sink(decode=False))
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, **SAMPLED}
        desks = {
            name: running.enter_context(_product(context, environment))
            for name, environment in (("off", {}), ("on", on))
        }
        for number in range(rounds):
            context.say(f"round {number + 1} of {rounds} …")
            for name in sorted(desks, reverse=number % 2 == 0):  # who is first has no advantage
                answered = measure(brief, desks[name].url, basic(desks[name]), series=f"r{number}")
                turns[name].append(answered)
    off, with_it = (median(each.per_second for each in turns[name]) for name in ("off", "on"))
    kept = median(on.per_second / off.per_second for off, on in zip(turns["off"], turns["on"], strict=True))
    p99 = {name: median(each.p99_ms for each in found) for name, found in turns.items()}
    return [
        plain("bookings, telemetry off", off, "/s"),
        plain("bookings, telemetry on, 10% of traces", with_it, "/s"),
        at_most("  cost of throughput, median of the rounds", 100 * (1 - kept), GOAL_PERCENT, "%"),
        plain("  p99 off", p99["off"], "ms", decimals=1),
        plain("  p99 on", p99["on"], "ms", decimals=1),
        plain("  sent to the collector", sum(map(len, sink.raw)) / 1e6, "MB", decimals=1),
    ]


@contextmanager
def _product(context: Context, environment: dict[str, str]) -> Iterator[Desk]:
    desk = Desk(context.new_folder(), environment=environment)
    try:
        yield desk.start()
        desk.stop()
    finally:
        desk.kill_all()
