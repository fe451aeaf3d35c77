"""What metrics tell of the prices and the provider's budget, looked at each time that they leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wattbook.clock import Clock, to_epoch_us
from wattbook.telemetry import catalogue
from wattbook.telemetry.metrics import Reading, observe, observe_one

from pricing_service import usecases
from pricing_service.domain import Limits
from pricing_service.store import PriceStore, Wishes
from pricing_service.usecases.questions import Ages


def watch_prices(
    store: PriceStore, wishes: Wishes, clock: Clock, *, limits: Limits, leads: Callable[[], bool]
) -> None:
    """Let metrics tell how old prices are, and what may still be asked."""
    status = partial(usecases.status, store, clock, limits=limits)

    def by_class(value: Callable[[Ages], float | None]) -> list[Reading]:
        found = {name: value(each) for name, each in usecases.ages(store, wishes, clock).items()}
        return [(figure, {"period_class": name}) for name, figure in found.items() if figure is not None]

    def cycle(value: Callable[[int], float]) -> list[Reading]:
        start_s = status().cycle_start_s
        return [(value(start_s), {})] if start_s else []

    def budget() -> list[Reading]:
        now = status()
        return [(now.minute_budget_left, {"window": "minute"}), (now.hour_budget_left, {"window": "hour"})]

    observe(catalogue.PRICE_AGE, lambda: by_class(lambda ages: ages.oldest_s))
    observe(catalogue.PRICES_MISSING, lambda: by_class(lambda ages: ages.missing))
    observe(catalogue.PRICE_CYCLE, lambda: cycle(float))
    observe(
        catalogue.PRICE_CYCLE_AGE, lambda: cycle(lambda start_s: to_epoch_us(clock.now()) / 1e6 - start_s)
    )
    observe(catalogue.BUDGET_LEFT, budget)
    observe_one(catalogue.PROVIDER_LEADER, lambda: int(leads()))
