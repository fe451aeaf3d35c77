"""An owner that a desk may do without: unset, its calls say that it is not running here."""

from __future__ import annotations

from typing import Any

import grpc
from wattbook import rpc
from wattbook.errors import Unavailable


class OptionalOwner:
    """The service ``name`` at ``target``; subclasses say what it is asked, always through :meth:`_ask`."""

    def __init__(self, name: str, target: str | None, *, timeout_s: float) -> None:
        """``timeout_s`` is the deadline of each call."""
        self._name = name
        self._target = target
        self._timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None

    def open(self) -> None:
        """Connect, lazily, where there is a target; call it on the event loop that will be used."""
        if self._target:
            self._channel = rpc.aio_channel(self._target)
            self._stub = self._stub_on(self._channel)

    async def close(self) -> None:
        """Disconnect."""
        if self._channel is not None:
            await self._channel.close(grace=1.0)

    def _stub_on(self, channel: grpc.aio.Channel) -> Any:
        raise NotImplementedError

    async def _ask(self, method: str, request: Any) -> Any:
        """What the owner answers.

        Raises:
            Unavailable: it is not running, not reachable or too slow.
            WattbookError: as it refused.
        """
        if self._stub is None:
            raise Unavailable(f"{self._name} is not running here")
        call = getattr(self._stub, method)
        try:
            return await call(request, timeout=self._timeout_s, metadata=rpc.outgoing_metadata())
        except grpc.RpcError as error:
            raise rpc.translate(error) from error
