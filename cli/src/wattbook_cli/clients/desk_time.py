"""What time it is at the desk: of a simulated day, or of another machine, it is not what ours says."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from wattbook.clock import SystemClock

from wattbook_cli.clients.gateway import Gateway
from wattbook_cli.domain.stops import Stop


class DeskTime(SystemClock):
    """A :class:`wattbook.clock.Clock` whose ``now`` is the gateway's; ours until one answered."""

    def __init__(self, gateway: Gateway) -> None:
        """Ask ``gateway`` each time."""
        self._gateway = gateway
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """The desk's instant, aware, in UTC; where it does not answer, as far ahead of ours as it was."""
        ours = super().now()
        with suppress(Stop):
            self._ahead = self._gateway.now() - ours
        return ours + self._ahead
