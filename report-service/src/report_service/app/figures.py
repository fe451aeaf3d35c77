"""What metrics tell of the read model and the pages, looked at each time that they leave."""

from __future__ import annotations

from wattbook.clock import Clock
from wattbook.telemetry import catalogue
from wattbook.telemetry.metrics import Reading, observe, observe_one

from report_service.api.streams import Hub
from report_service.usecases.model import ReadModel


def watch_reports(model: ReadModel, hub: Hub, clock: Clock) -> None:
    """Let metrics tell how old the figures are, how far to trust them, and how many look at them live."""
    changed_s: list[float] = []
    model.on_change(lambda _keys: changed_s.__setitem__(slice(None), [clock.monotonic_s()]))

    def version_age() -> list[Reading]:
        return [(clock.monotonic_s() - each, {}) for each in changed_s]

    def cut_off_s() -> float:
        lost_since = model.state.lost_since
        return (clock.now() - lost_since).total_seconds() if lost_since else 0.0

    observe(catalogue.REPORT_VERSION_AGE, version_age)
    observe_one(catalogue.REPORT_CUT_OFF, cut_off_s)
    observe_one(catalogue.STREAMS_OPEN, lambda: hub.count)
