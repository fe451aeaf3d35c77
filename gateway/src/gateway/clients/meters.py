"""The owner of meter readings and flow files, in the gateway's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from wattbook import rpc
from wattbook.access import Principal
from wattbook.errors import Unavailable
from wattbook_proto import meters_pb2, meters_pb2_grpc

from gateway.clients.owner import Door, OptionalOwner

IMPORT_TIMEOUT_S = 300.0  # of a whole file, once its bytes are there; the largest takes about a minute
_CHUNK_BYTES = 1024 * 1024


class MetersClient(OptionalOwner):
    """meter-service. Every method raises WattbookError as it refused, Unavailable where it is not there."""

    def __init__(self, door: Door | None, *, timeout_s: float) -> None:
        """``door`` None: this desk has none."""
        super().__init__("meter-service", door, timeout_s=timeout_s)

    async def ask(self, asker: Principal, method: str, request: Any) -> Any:
        """What it answers to a question."""
        return await self._ask(asker, method, request)

    async def tell(self, asker: Principal, method: str, request: Any) -> Any:
        """What it answers to an order, which may take as long as an import."""
        return await self._ask(asker, method, request, writes=True, timeout_s=IMPORT_TIMEOUT_S)

    async def upload(
        self, asker: Principal, start: meters_pb2.UploadStart, pieces: AsyncIterator[bytes]
    ) -> meters_pb2.UploadReply:
        """What became of a file, once it was imported.

        Whatever ``pieces`` raise ends the call, and meter-service keeps nothing.
        """
        stub, metadata = self._asking(asker, writes=True)
        timeout_s = rpc.transfer_timeout_s(start.size_bytes, timeout_s=IMPORT_TIMEOUT_S)
        call = stub.Upload(timeout=timeout_s, metadata=metadata)
        broke_off = False
        try:
            size_bytes = 0
            await call.write(meters_pb2.UploadRequest(start=start))
            async for piece in pieces:
                for place in range(0, len(piece), _CHUNK_BYTES):
                    await call.write(meters_pb2.UploadRequest(chunk=piece[place : place + _CHUNK_BYTES]))
                size_bytes += len(piece)
            await call.write(meters_pb2.UploadRequest(end=meters_pb2.UploadEnd(size_bytes=size_bytes)))
            await call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            broke_off = True  # it is gone; else it hears all before it answers
        except BaseException:
            call.cancel()
            raise
        try:
            return await call
        except grpc.RpcError as error:
            if broke_off and error.code() is grpc.StatusCode.INTERNAL:  # of the write that failed
                raise Unavailable("a service ended the upload; try again") from error
            raise rpc.translate(error) from error

    async def original(self, asker: Principal, number: int) -> AsyncIterator[meters_pb2.OriginalPiece]:
        """The file, then its bytes as they came."""
        stub, metadata = self._asking(asker)
        request = meters_pb2.FlowFileRequest(id=number)
        call = stub.Original(request, timeout=IMPORT_TIMEOUT_S, metadata=metadata)
        try:
            async for piece in call:
                yield piece
        except grpc.RpcError as error:
            raise rpc.translate(error) from error
        finally:
            call.cancel()

    def _stub_on(self, channel: grpc.aio.Channel) -> Any:
        return meters_pb2_grpc.MetersStub(channel)  # type: ignore[no-untyped-call]
