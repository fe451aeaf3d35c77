"""The provider's control endpoint: requests, violations and publications counted, and faults on demand."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from wattbook.clock import Clock

from sandbox.control import answer, body_of, control_app, whole_number
from sandbox.market_data.domain.faults import Faults
from sandbox.market_data.usecases import Provider

_MOST_REQUESTS = 10_000


class ProviderControl:
    """Handlers of the provider's control endpoint."""

    def __init__(self, provider: Provider, *, clock: Clock) -> None:
        """Control ``provider``."""
        self._provider = provider
        self._clock = clock

    def app(self) -> Starlette:
        """The application that serves them."""
        return control_app(
            "market data",
            [
                ("GET", "/control/stats", self.stats, "requests a minute and hour, violations, publications"),
                ("GET", "/control/requests", self.requests, "each request: ?after_seq= &limit="),
                ("GET", "/control/faults", self.faults, "faults as they are"),
                ("POST", "/control/faults", self.set_faults, '{"fail_rate": 0.1, …} change some'),
                ("DELETE", "/control/faults", self.clear_faults, "nothing goes wrong any more"),
            ],
        )

    async def stats(self, _: Request) -> Response:
        """Everything counted."""
        return answer(self._provider.stats(now=self._clock.now(), at_s=self._clock.monotonic_s()))

    async def requests(self, request: Request) -> Response:
        """Requests in order, in full."""
        query = request.query_params
        found = self._provider.requests.after(
            whole_number(query, "after_seq", default=0, low=0, high=2**62),
            limit=whole_number(query, "limit", default=1000, low=1, high=_MOST_REQUESTS),
        )
        return answer(
            [
                {
                    "seq": each.seq, "at": each.at.isoformat(), "path": each.path, "delivery_day": each.day,
                    "delivery_hour": each.hour, "status": each.status, "note": each.note,
                }
                for each in found
            ]
        )  # fmt: skip

    async def faults(self, _: Request) -> Response:
        """Faults as they are."""
        return answer(self._provider.faults.as_dict())

    async def set_faults(self, request: Request) -> Response:
        """Change some."""
        return answer(self._provider.set_faults(await body_of(request), now=self._clock.now()))

    async def clear_faults(self, _: Request) -> Response:
        """End all of them."""
        return answer(self._provider.set_faults(Faults().as_dict(), now=self._clock.now()))
