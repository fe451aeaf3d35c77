"""The owner of companies, payments and balances, in the gateway's words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from wattbook import rpc
from wattbook.access import Principal
from wattbook.errors import Unavailable
from wattbook_proto import cash_pb2, cash_pb2_grpc

from gateway.clients.owner import Door, OptionalOwner

STREAM_TIMEOUT_S = 600.0


class CashClient(OptionalOwner):
    """cash-service. Every method raises WattbookError as it refused, Unavailable where it is not there."""

    def __init__(self, door: Door | None, *, timeout_s: float) -> None:
        """``door`` None: this desk has none."""
        super().__init__("cash-service", door, timeout_s=timeout_s)

    async def ask(self, asker: Principal, method: str, request: Any) -> Any:
        """The reply to a question of the contract, by the name of its method."""
        return await self._ask(asker, method, request)

    async def transactions(
        self, asker: Principal, request: cash_pb2.TransactionsRequest
    ) -> AsyncIterator[cash_pb2.TransactionPage]:
        """Payments by time, page by page."""
        async for page in self._stream(asker, "Transactions", request):
            yield page

    async def reclean(self, asker: Principal, *, keep: bool) -> AsyncIterator[cash_pb2.RecleanReply]:
        """How far today's rules have run over the kept bodies, the differences last."""
        request = cash_pb2.RecleanRequest(keep=keep)
        async for reply in self._stream(asker, "Reclean", request, writes=True):
            yield reply

    async def _stream(
        self, asker: Principal, method: str, request: Any, *, writes: bool = False
    ) -> AsyncIterator[Any]:
        if self._stub is None or self._door is None:
            raise Unavailable("cash-service is not running here")
        pass_ = self._door.writing(asker) if writes else self._door.reading(asker)
        metadata = rpc.outgoing_metadata(pass_)
        call = getattr(self._stub, method)(request, timeout=STREAM_TIMEOUT_S, metadata=metadata)
        try:
            async for reply in call:
                yield reply
        except grpc.RpcError as error:
            raise rpc.translate(error) from error
        finally:
            call.cancel()

    def _stub_on(self, channel: grpc.aio.Channel) -> Any:
        return cash_pb2_grpc.CashStub(channel)  # type: ignore[no-untyped-call]
