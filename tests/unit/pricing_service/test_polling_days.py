"""Days of polling in a simulation: how fresh prices are, and that limits hold whatever happens."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from pricing_service.domain import Limits, NoPrice, Outcome, Slot, Trouble
from wattbook import telemetry

from tests.support.otlp_sink import otlp_sink, recorded
from tests.support.price_day import Cycle, ModelProvider, World, bound_s, mean_ratio

pytestmark = pytest.mark.slow


def after_start(world: World, from_s: float, to_s: float) -> Any:
    return lambda at_s: from_s <= at_s - world.began_s < to_s


def waits(cycles: list[Cycle]) -> list[float]:
    return [cycle.wait_s for cycle in cycles if cycle.wait_s is not None]


@pytest.mark.parametrize("wanted", [24, 37])
def test_wanted_prices_are_there_within_a_fifth_of_the_best_that_is_possible(wanted: int) -> None:
    world = World(wanted=wanted, seed=11)

    cycles = world.run(hours=24)

    assert len(waits(cycles)) == len(cycles) >= 142
    assert mean_ratio(cycles) <= 1.2
    assert max(waits(cycles)) < 3 * bound_s(wanted)
    assert world.provider.violations == 0


def test_prices_are_noted_within_the_trace_of_their_asking() -> None:
    with otlp_sink() as sink, recorded(sink, service="pricing-service"):
        world = World(wanted=1, round_trip_s=(0.02, 0.02))
        send = world.send

        def traced(slot: Slot, done: Callable[[Outcome], None]) -> None:
            def within(outcome: Outcome) -> None:
                with telemetry.entering("ask", kind="internal"):
                    done(outcome)

            send(slot, within)

        world.send = traced  # type: ignore[method-assign]  # the provider's door, as its client does it
        world.run(hours=0.2)

    asked = {span.span_id for span in sink.spans if span.name == "ask"}
    noted = [span for span in sink.spans if span.name == "note prices"]
    followed = {span.parent_id for span in noted} | {span_id for span in noted for _, span_id in span.links}
    assert len(asked) > 5
    assert followed == asked


def test_the_rest_comes_within_the_same_minute_where_the_budget_allows() -> None:
    world = World(wanted=24)

    cycles = world.run(hours=6)

    rest = [cycle.rest_wait_s for cycle in cycles if cycle.rest_wait_s is not None]
    assert len(rest) == len(cycles)
    assert max(rest) < 65, "when the first looks no longer count"
    assert statistics.fmean(rest) < 40


def test_where_nobody_wants_anything_everything_is_fetched_all_the_same() -> None:
    world = World(wanted=None)

    cycles = world.run(hours=3)

    assert all(cycle.rest_wait_s is not None and cycle.rest_wait_s < 70 for cycle in cycles)


def test_kills_and_restarts_of_two_replicas_never_exceed_the_limits() -> None:
    world = World(wanted=37, replicas=2)
    rng = Random(5)
    for _ in range(60):
        at_s, replica = rng.uniform(0, 8 * 3600), rng.choice(world.replicas)
        world.after(at_s, replica.kill)
        world.after(at_s + rng.choice([0.0, 0.2, 3.0, 20.0]), replica.start)

    cycles = world.run(hours=8)

    assert world.provider.violations == 0
    assert statistics.median(waits(cycles)) < 1.5 * bound_s(37)
    assert all(cycle.wait_s is not None for cycle in cycles)


def test_a_restart_loop_in_the_middle_of_publications_spends_nothing_twice() -> None:
    world = World(wanted=37)
    for cycle in range(12):
        for second in range(0, 60, 3):
            world.after(540 + 600 * cycle + second, world.replicas[0].kill)
            world.after(540 + 600 * cycle + second + 0.1, world.replicas[0].start)

    world.run(hours=2)

    assert world.provider.violations == 0
    assert len(world.provider.asked_s) > 12 * 37


def test_replicas_that_stand_still_for_a_while_send_nothing_in_another_s_time() -> None:
    world = World(wanted=24, replicas=2)
    rng = Random(6)
    for _ in range(60):
        replica, seconds = rng.choice(world.replicas), rng.uniform(1, 120)
        world.after(rng.uniform(0, 6 * 3600), lambda replica=replica, seconds=seconds: replica.stall(seconds))

    cycles = world.run(hours=6)

    assert world.provider.violations == 0
    assert mean_ratio(cycles) < 3


def test_a_provider_that_is_down_for_20_minutes_is_asked_rarely_and_found_again_soon() -> None:
    world = World(wanted=24)
    is_down = after_start(world, 7200, 8400)
    world.provider.fault = lambda at_s, slot: Trouble("down") if is_down(at_s) else None

    cycles = world.run(hours=4)

    asked = sum(is_down(at_s) for at_s in world.provider.asked_s)
    assert 10 < asked < 120
    late = [cycle for cycle in cycles if cycle.wait_s is None or cycle.wait_s > 60]
    assert all(6600 < cycle.at_s - world.began_s < 8400 for cycle in late)
    back = [cycle for cycle in cycles if cycle.at_s - world.began_s > 8400]
    assert mean_ratio(back) < 1.5
    assert world.provider.violations == 0
    assert world.store.health.trouble == ""


@pytest.mark.parametrize(
    ("outcome", "share", "most_s"),
    [
        (Trouble("503"), 0.1, 20.0),
        (Trouble("garbage"), 0.3, 60.0),
        (NoPrice(), 0.1, 20.0),
        (Trouble("429", slow_down=True), 0.3, 120.0),
    ],
)
def test_failures_here_and_there_delay_and_lose_nothing(outcome: Any, share: float, most_s: float) -> None:
    rng = Random(9)
    provider = ModelProvider(Random(2), fault=lambda at_s, slot: outcome if rng.random() < share else None)
    world = World(wanted=24, provider=provider)

    cycles = world.run(hours=4)

    had = waits(cycles)
    assert len(had) >= len(cycles) - 1
    assert statistics.median(had) < most_s
    assert provider.violations == 0


def test_retries_leave_the_reserve_of_the_minute() -> None:
    world = World(wanted=24)
    storm = after_start(world, 1800, 3600)
    world.provider.fault = lambda at_s, slot: Trouble("429", slow_down=True) if storm(at_s) else None
    least = []

    def look() -> None:
        poller = world.replicas[0].poller
        assert poller is not None
        schedule = poller._schedule
        assert schedule is not None
        least.append(schedule.spent.minute_left(world.now_s))

    for second in range(1900, 3600, 5):
        world.after(second, look)
    world.run(hours=1.2)

    assert min(least) >= 45, "a storm is answered by asking less"


def test_retry_after_is_kept_to_even_when_something_else_worked_meanwhile() -> None:
    world = World(wanted=24)
    told: list[float] = []

    def fault(at_s: float, slot: Any) -> Any:
        if at_s - world.began_s > 3000 and not told:
            told.append(at_s)
            return Trouble("busy", retry_after_s=200.0)
        return None

    world.provider.fault = fault
    world.run(hours=1.5)

    after = [at_s for at_s in world.provider.asked_s if at_s > told[0] + 1.0]
    assert min(after) >= told[0] + 199.0


def test_retry_after_outlives_a_restart_and_what_another_request_said() -> None:
    world = World(wanted=24, replicas=2)
    told: list[float] = []

    def fault(at_s: float, slot: Any) -> Any:
        if at_s - world.began_s > 3000 and not told:
            told.append(at_s)
            return Trouble("too many requests", slow_down=True, retry_after_s=1800.0)
        return None

    world.provider.fault = fault
    world.after(3400, world.replicas[0].kill)
    world.after(3500, world.replicas[1].kill)
    world.after(3700, world.replicas[0].start)
    world.after(3800, world.replicas[1].start)
    world.run(hours=2.0)

    after = [at_s for at_s in world.provider.asked_s if at_s > told[0] + 1.0]
    assert told[0] + 1799.0 <= min(after) <= told[0] + 1900.0


@pytest.mark.parametrize("ahead_s", [60.0, -60.0])
def test_a_clock_a_minute_off_costs_one_cycle(ahead_s: float) -> None:
    world = World(wanted=24, provider=ModelProvider(Random(3), ahead_s=ahead_s))

    cycles = world.run(hours=6)

    assert mean_ratio(cycles[3:]) <= 1.3
    assert max(waits(cycles)[:3]) < 70
    assert world.provider.violations == 0


def test_a_clock_that_is_set_again_and_again_is_learned_again() -> None:
    world = World(wanted=24)
    for hour, ahead_s in enumerate((60.0, -60.0, 10.0, 0.0), start=1):
        world.after(
            2 * hour * 3600 + 300, lambda ahead_s=ahead_s: setattr(world.provider, "ahead_s", ahead_s)
        )

    cycles = world.run(hours=10)

    assert world.provider.violations == 0
    assert sum(wait > 5 for wait in waits(cycles)) <= 8, "at most two cycles each time"


@pytest.mark.parametrize("jump_s", [120.0, -120.0, 5.0])
def test_our_own_clock_may_be_set_without_a_request_too_many(jump_s: float) -> None:
    world = World(wanted=24)

    def jump() -> None:
        world.replicas[0].clock.ahead_s += jump_s

    for seconds in (1815.0, 1830.0, 3620.0):
        world.after(seconds, jump)
    cycles = world.run(hours=4)

    assert world.provider.violations == 0
    assert mean_ratio(cycles[10:]) < 1.6


@pytest.mark.parametrize(
    "provider",
    [
        {"offset_s": 315.0},
        {"stamps_publication": False},
        {"whole_seconds": False},
        {"never_traded": 10},
    ],
)
def test_providers_may_differ_in_what_nobody_promised(provider: dict[str, Any]) -> None:
    world = World(wanted=24, provider=ModelProvider(Random(1), **provider))

    cycles = world.run(hours=10)

    assert mean_ratio(cycles[12:]) < 2.2
    assert len(waits(cycles)) == len(cycles)
    assert world.provider.violations == 0


@pytest.mark.parametrize(("per_minute", "per_hour"), [(50, 200), (10, 1000), (5, 60), (1, 10), (200, 5000)])
def test_other_limits_hold_as_well(per_minute: int, per_hour: int) -> None:
    world = World(wanted=24, limits=Limits.of(per_minute=per_minute, per_hour=per_hour))

    world.run(hours=5)

    assert world.provider.violations == 0
    assert len(world.provider.asked_s) > 3 * min(per_hour, 200)


@pytest.mark.parametrize(
    "start", [datetime(2023, 10, 28, 20, tzinfo=UTC), datetime(2023, 3, 25, 20, tzinfo=UTC)]
)
def test_days_on_which_clocks_change_are_days_like_others(start: datetime) -> None:
    world = World(wanted=37, start=start)

    cycles = world.run(hours=9)

    assert mean_ratio(cycles) < 1.35
    assert len(waits(cycles)) == len(cycles)
    assert world.provider.violations == 0


def test_a_store_that_is_down_stops_polling_and_loses_no_answer() -> None:
    world = World(wanted=24)
    world.after(3000, lambda: setattr(world.store, "down", True))
    world.after(3500, lambda: setattr(world.store, "down", False))

    cycles = world.run(hours=2)

    assert not any(3001 < at_s - world.began_s < 3500 for at_s in world.provider.asked_s)
    assert mean_ratio(cycles[8:]) < 2
    assert world.provider.violations == 0


def test_the_last_price_of_an_hour_is_fetched_even_if_the_provider_was_down_at_gate_closure() -> None:
    world = World(wanted=24)  # 10:31 in Berlin: gate closure of 11-12 is at 11:00
    down = after_start(world, 1000, 2400)
    world.provider.fault = lambda at_s, slot: Trouble("down") if down(at_s) else None

    world.run(hours=1.5)

    first_s = int(world.began_s // 3600 + 1) * 3600
    assert world.store.stamps_us[first_s] // 1_000_000 >= first_s - 600
