"""One connection to the exchange's websocket: frames in, pings out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.uri import parse_uri

from ingest_service.clients.bounded import BoundedConnection
from ingest_service.domain import ExchangeGone

OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
# Frames of one connection that asyncio has read and nobody took yet, above and below which it stops and
# goes on reading the socket.
QUEUE_FRAMES = (1024, 256)

_log = logging.getLogger(__name__)


class ExchangeConnection:
    """An open connection; frames are taken by one task."""

    def __init__(self, connection: BoundedConnection) -> None:
        """Use :meth:`open`."""
        self._connection = connection

    @classmethod
    async def open(cls, url: str, *, most_frame_bytes: int) -> ExchangeConnection:
        """Connect within a few seconds.

        Raises:
            ExchangeGone: it did not work; the message says why.
        """
        try:
            connection = await connect(
                url,
                compression=None,  # small frames at once; inflating costs more than it saves
                proxy=None,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,  # ours say when the last sign of life was
                max_size=None,
                create_connection=cast(
                    "type[ClientConnection]", partial(BoundedConnection, most_bytes=most_frame_bytes)
                ),
                max_queue=QUEUE_FRAMES,
                user_agent_header="wattbook-ingest",
            )
            return cls(cast("BoundedConnection", connection))
        except InvalidStatus as error:
            raise ExchangeGone(f"the exchange answered {error.response.status_code}") from error
        except TimeoutError as error:
            raise ExchangeGone("the exchange did not answer in time") from error
        except (OSError, WebSocketException, EOFError, ValueError) as error:
            raise ExchangeGone(f"cannot connect: {error}") from error

    async def frame(self) -> bytes:
        """The next frame verbatim, text or binary, also one that came before the connection ended.

        One over the limit is cut: see :func:`ingest_service.domain.cut_frame`; so is what came of a large one
        when the connection ended within it.

        Raises:
            ExchangeGone: the connection is over; the message says how it ended.
        """
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as error:
            if broken_off := self._connection.broken_off():
                return broken_off
            raise ExchangeGone(_ending(error)) from error
        except WebSocketException as error:
            raise ExchangeGone(f"{type(error).__name__}: {error}") from error

    async def answers_ping(self, *, timeout_s: float) -> bool:
        """Whether the exchange answers a ping in time; False where the connection is over too."""
        try:
            async with asyncio.timeout(timeout_s):
                await (await self._connection.ping())
        except (TimeoutError, WebSocketException, OSError):
            return False
        return True

    async def close(self) -> None:
        """Say goodbye; frames that are still on their way arrive before :meth:`frame` raises."""
        with contextlib.suppress(WebSocketException, OSError):
            await self._connection.close()


def is_websocket_url(url: str) -> bool:
    """Whether :meth:`ExchangeConnection.open` can make anything of it."""
    try:
        parse_uri(url)
    except (InvalidURI, ValueError):
        return False
    return True


def public_url(url: str) -> str:
    """``url`` without user, password, query and fragment, for logs and people."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _ending(error: ConnectionClosed) -> str:
    if error.rcvd is not None:
        return f"the exchange closed the connection ({error.rcvd.code} {error.rcvd.reason})".rstrip()
    if error.sent is not None:
        return f"we closed the connection ({error.sent.code} {error.sent.reason})".rstrip()
    cause = error.__cause__
    return f"the connection broke ({cause})" if cause else "the connection broke"
