"""An owner that a desk may do without: unset, its calls say that it is not running here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wattbook import rpc
from wattbook.access import Principal
from wattbook.errors import Unavailable
from wattbook.tls import Tls

HEALTH_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Door:
    """An owner's address, and the passes that its guard lets in: those for reading, those for writing too."""

    target: str
    reading: Callable[[Principal], str]
    writing: Callable[[Principal], str]
    tls: Tls | None = None

    def channel(self) -> grpc.aio.Channel:
        """Connected lazily; call it on the event loop that will be used."""
        return rpc.aio_channel(self.target, tls=self.tls)


class OptionalOwner:
    """The service ``name`` behind ``door``; subclasses say what it is asked, always through :meth:`_ask`."""

    def __init__(self, name: str, door: Door | None, *, timeout_s: float) -> None:
        """``timeout_s`` is the deadline of each call; ``door`` None: this desk has no such owner."""
        self._name = name
        self._door = door
        self._timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None

    def open(self) -> None:
        """Connect, lazily, where there is a door; call it on the event loop that will be used."""
        if self._door:
            self._channel = self._door.channel()
            self._stub = self._stub_on(self._channel)

    async def is_ready(self) -> bool:
        """Whether the service says that it serves."""
        return self._channel is not None and await says_it_serves(health_pb2_grpc.HealthStub(self._channel))

    async def close(self) -> None:
        """Disconnect."""
        if self._channel is not None:
            await self._channel.close(grace=1.0)

    def _stub_on(self, channel: grpc.aio.Channel) -> Any:
        raise NotImplementedError

    async def _ask(
        self, asker: Principal, method: str, request: Any, *, writes: bool = False, timeout_s: float = 0.0
    ) -> Any:
        """What the owner answers to ``asker``; ``timeout_s`` 0: within the deadline of every call.

        Raises:
            Unavailable: it is not running, not reachable or too slow.
            WattbookError: as it refused.
        """
        stub, metadata = self._asking(asker, writes=writes)
        try:
            return await getattr(stub, method)(
                request, timeout=timeout_s or self._timeout_s, metadata=metadata
            )
        except grpc.RpcError as error:
            raise rpc.translate(error) from error

    def _asking(self, asker: Principal, *, writes: bool = False) -> tuple[Any, Any]:
        """The stub and the metadata to call with. Raises Unavailable where there is no such owner."""
        if self._stub is None or self._door is None:
            raise Unavailable(f"{self._name} is not running here")
        pass_ = self._door.writing(asker) if writes else self._door.reading(asker)
        return self._stub, rpc.outgoing_metadata(pass_)


async def says_it_serves(stub: health_pb2_grpc.HealthStub) -> bool:
    """What the health service behind ``stub`` answers, False where it does not."""
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_TIMEOUT_S)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
