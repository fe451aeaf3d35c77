"""The owner of the reports, in the gateway's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from wattbook import rpc
from wattbook.access import Principal
from wattbook_proto import reports_pb2, reports_pb2_grpc

from gateway.clients.coalescer import Coalescer, Limits, call_by_pass
from gateway.clients.owner import Door, says_it_serves


@dataclass(frozen=True, slots=True)
class PnlAsk:
    """Whose report, of which day; an answer that still is ``known_version`` carries no rows."""

    trader_id: str
    delivery_day: str
    area: str
    known_version: str = ""


class ReportsClient:
    """report-service behind ``door``."""

    _channel: grpc.aio.Channel
    _stub: Any
    _health: health_pb2_grpc.HealthStub

    def __init__(self, door: Door, *, limits: Limits) -> None:
        """``limits`` are for gathering reports."""
        self._door = door
        self._timeout_s = limits.timeout_s
        self._asks: Coalescer[tuple[str, PnlAsk], reports_pb2.PnlAnswer] = Coalescer(
            partial(self._ask_gathered, "Pnl", reports_pb2.PnlRequest), limits
        )
        self._performance_asks: Coalescer[tuple[str, PnlAsk], reports_pb2.PerformanceAnswer] = Coalescer(
            partial(self._ask_gathered, "Performance", partial(reports_pb2.PerformanceRequest, now=True)),
            limits,
        )

    def open(self) -> None:
        """Connect, lazily; call it on the event loop that will be used."""
        self._channel = self._door.channel()
        self._stub = reports_pb2_grpc.ReportsStub(self._channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def pnl(self, asker: Principal, ask: PnlAsk) -> reports_pb2.PnlAnswer:
        """One report, asked for together with whoever else asks at this moment.

        Raises:
            WattbookError: report-service could not answer.
        """
        return await self._asks.ask((self._door.reading(asker), ask))

    async def performance(self, asker: Principal, ask: PnlAsk) -> reports_pb2.PerformanceAnswer:
        """The same against the reference price. Raises like :meth:`pnl`.

        Whoever first looks at a day waits a moment for its prices, in a call of their own.
        """
        asked = (self._door.reading(asker), ask)
        answer = await self._performance_asks.ask(asked)
        if answer.loading:
            (answer,) = await self._ask_gathered("Performance", reports_pb2.PerformanceRequest, [asked])
        return answer

    async def desk(
        self, asker: Principal, *, area: str, delivery_day: str, known_version: str
    ) -> reports_pb2.DeskReply:
        """A line a trader. Raises like :meth:`pnl`."""
        request = reports_pb2.DeskRequest(area=area, delivery_day=delivery_day, known_version=known_version)
        metadata = rpc.outgoing_metadata(self._door.reading(asker))
        try:
            return await self._stub.Desk(request, timeout=self._timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise rpc.translate(error) from error

    async def is_ready(self) -> bool:
        """Whether report-service says that it serves."""
        return await says_it_serves(self._health)

    async def close(self) -> None:
        """Finish what runs and disconnect."""
        await self._asks.close()
        await self._performance_asks.close()
        await self._channel.close(grace=1.0)

    async def _ask_gathered(
        self, method: str, new_request: Any, asked: Sequence[tuple[str, PnlAsk]]
    ) -> Sequence[Any]:
        return await call_by_pass(asked, partial(self._ask_together, method, new_request))

    async def _ask_together(
        self, method: str, new_request: Any, pass_: str, asks: Sequence[PnlAsk]
    ) -> Sequence[Any]:
        once = list(dict.fromkeys(asks))
        request = new_request()
        for ask in once:
            request.queries.add(
                trader_id=ask.trader_id,
                delivery_day=ask.delivery_day,
                area=ask.area,
                known_version=ask.known_version,
            )
        call = getattr(self._stub, method)
        try:
            reply = await call(request, timeout=self._timeout_s, metadata=rpc.outgoing_metadata(pass_))
        except grpc.RpcError as error:
            raise rpc.translate(error) from error
        answers = dict(zip(once, reply.answers, strict=False))
        return [answers[ask] for ask in asks] if len(answers) == len(once) else []
