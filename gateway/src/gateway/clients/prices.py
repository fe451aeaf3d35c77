"""The owner of reference prices, in the gateway's words. Nothing asked here ever calls the provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from wattbook.access import Principal
from wattbook.periods import HOUR_MINUTES
from wattbook_proto import prices_pb2, prices_pb2_grpc

from gateway.clients.owner import Door, OptionalOwner


class PricesClient(OptionalOwner):
    """pricing-service. Every method raises WattbookError as it refused, Unavailable where it is not there."""

    def __init__(self, door: Door | None, *, timeout_s: float) -> None:
        """``door`` None: this desk has none."""
        super().__init__("pricing-service", door, timeout_s=timeout_s)

    async def day(self, asker: Principal, *, area: str, delivery_day: str) -> prices_pb2.DayReply:
        """The newest price of every hour of a day that has one."""
        return await self._ask(asker, "Day", prices_pb2.DayRequest(area=area, delivery_day=delivery_day))

    async def watch(self, asker: Principal, *, area: str, starts_s: Sequence[int]) -> None:
        """Tell that somebody looks at these hours, so that their prices are fetched before others."""
        await self._ask(asker, "Watch", prices_pb2.WatchRequest(area=area, delivery_start_s=starts_s))

    async def history(self, asker: Principal, *, area: str, delivery_start_s: int) -> prices_pb2.HistoryReply:
        """Every value that an hour ever had, oldest first."""
        request = prices_pb2.HistoryRequest(
            area=area, delivery_start_s=delivery_start_s, delivery_minutes=HOUR_MINUTES
        )
        return await self._ask(asker, "History", request)

    async def status(self, asker: Principal) -> prices_pb2.StatusReply:
        """How the poller is doing, and what is left of its budget."""
        return await self._ask(asker, "Status", prices_pb2.StatusRequest())

    def _stub_on(self, channel: grpc.aio.Channel) -> Any:
        return prices_pb2_grpc.PricesStub(channel)  # type: ignore[no-untyped-call]
