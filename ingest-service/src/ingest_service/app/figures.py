"""What metrics tell of the feed, looked at each time that they leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wattbook.clock import Clock, to_epoch_us
from wattbook.outbox import Relay
from wattbook.telemetry import catalogue
from wattbook.telemetry.metrics import Reading, observe, observe_one

from ingest_service.domain import ListenerState
from ingest_service.usecases import FeedStatus

_US_PER_S = 1e6


def watch_feed(status: FeedStatus, clock: Clock, relay: Relay | None) -> None:
    """Let metrics tell how the feed is, each listener by its address without user information."""
    look = partial(_listeners, status)
    age_s = partial(_age_s, clock)
    observe(catalogue.FEED_CONNECTED, lambda: look(lambda each: int(each.connected)))
    observe(catalogue.FEED_STATE_AGE, lambda: look(lambda each: age_s(each.since_us)))
    observe(catalogue.FEED_FRAME_AGE, lambda: look(lambda each: age_s(each.last_frame_us)))
    observe(catalogue.FEED_CONNECTS, lambda: look(lambda each: each.connects))
    observe(catalogue.FEED_FRAMES, lambda: look(lambda each: each.frames))
    observe_one(catalogue.FEED_LAG, lambda: status.now().lag_us / _US_PER_S)
    observe_one(catalogue.QUARANTINE_OPEN, lambda: status.now().quarantined)
    observe_one(catalogue.SPOOL_DEPTH, lambda: status.now().spool_depth)
    if relay is not None:
        relay.watch(clock)


def _listeners(status: FeedStatus, value: Callable[[ListenerState], float | None]) -> list[Reading]:
    found = ((value(each), {"listener": each.url}) for each in status.listeners)
    return [(figure, labels) for figure, labels in found if figure is not None]


def _age_s(clock: Clock, at_us: int) -> float | None:
    return max(0.0, (to_epoch_us(clock.now()) - at_us) / _US_PER_S) if at_us else None
