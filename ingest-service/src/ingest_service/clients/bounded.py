"""A websocket connection whose memory is bounded, whatever the other side sends.

The library holds a message whole, ends the connection over one that is too large, and answers every ping.
Here of a message over the limit its beginning, its length and its digest are kept, and the connection goes
on; pings that come together are answered once, and not while nobody reads the answers (RFC 6455, 5.5.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.streams import StreamReader

from ingest_service.domain import cut_frame

KEPT_BYTES = 64 * 1024  # of a message over the limit
_LARGEST_CONTROL_BYTES = 125  # RFC 6455, section 5.5


class Message:
    """One message as it comes in: whole, or its beginning with length and digest."""

    def __init__(self, *, most_bytes: int) -> None:
        """Hold up to ``most_bytes``."""
        self.most_bytes = most_bytes
        self._kept = bytearray()
        self._length = 0
        self._digest: Any = None  # of a message over the limit

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """What comes next of it."""
        self._length += len(data)
        if self._digest is not None:
            self._digest.update(data)
            return
        self._kept += data
        if self._length > self.most_bytes:
            self._digest = hashlib.sha256(self._kept)
            del self._kept[KEPT_BYTES:]

    def take(self) -> bytes:
        """All of it, or of one that is too large what is kept; the next one begins."""
        kept = bytes(self._kept)
        if self._digest is not None:
            kept = cut_frame(kept, length=self._length, sha256=self._digest.hexdigest())
        self._kept, self._length, self._digest = bytearray(), 0, None
        return kept

    def rest(self) -> bytes:
        """Of one that never came to its end, what is kept; ``b""`` where nothing of it came, or is told."""
        if not self._length:
            return b""
        digest = (self._digest or hashlib.sha256(self._kept)).hexdigest()
        kept, length = bytes(self._kept[:KEPT_BYTES]), self._length
        self._kept, self._length, self._digest = bytearray(), 0, None
        return cut_frame(kept, length=length, sha256=digest, is_broken_off=True)


class Reader(StreamReader):
    """Reads what is too large in pieces into the message, so that it is never held whole."""

    def __init__(self, message: Message) -> None:
        """Into ``message``."""
        super().__init__()
        self._message = message
        self._most_bytes = max(message.most_bytes, _LARGEST_CONTROL_BYTES)

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """``n`` bytes; none, and all of them in the message, where they are too many."""
        if n <= self._most_bytes:
            return (yield from super().read_exact(n))
        while True:
            piece = self.buffer[:n]
            del self.buffer[:n]
            self._message.add(piece)
            n -= len(piece)
            if not n:
                return bytearray()
            if self.eof:
                raise EOFError(f"stream ends {n} bytes before the end of a frame")
            yield


class BoundedConnection(ClientConnection):
    """See above; :meth:`recv` gives each message whole or as :func:`cut_frame` writes it."""

    def __init__(self, protocol: ClientProtocol, *, most_bytes: int, **options: Any) -> None:
        """Bound the messages of ``protocol``, which must have no limit of its own."""
        super().__init__(protocol, **options)
        self._message = Message(most_bytes=most_bytes)
        self._opcode: Opcode | None = None  # of the message that came in part
        self._ping: bytes | None = None  # the newest that is not answered
        self._process_frame = protocol.recv_frame
        protocol.recv_frame = self._recv_frame  # type: ignore[method-assign]
        protocol.reader = Reader(self._message)
        protocol.parser = protocol.parse()
        next(protocol.parser)

    def broken_off(self) -> bytes:
        """What is kept of a message, too large or in fragments, within which the connection ended; once."""
        return self._message.rest()

    def data_received(self, data: bytes) -> None:
        """Called with what came in."""
        super().data_received(data)
        self._answer_ping()

    def resume_writing(self) -> None:
        """Called once the other side reads again."""
        super().resume_writing()
        self._answer_ping()

    def _answer_ping(self) -> None:
        if self._ping is not None and not self.paused and self.protocol.state is OPEN:
            data, self._ping = self._ping, None
            self.protocol.send_pong(data)
            self.send_data()

    def _recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING:
            self._ping = bytes(frame.data)
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._recv_data(frame)
        else:
            self._process_frame(frame)

    def _recv_data(self, frame: Frame) -> None:
        begins = frame.opcode is not Opcode.CONT
        if begins is (self._opcode is not None):
            raise ProtocolError("a message within another" if begins else "a continuation of nothing")
        if begins:
            self._opcode = frame.opcode
        self._message.add(frame.data)
        if frame.fin and self._opcode is not None:
            self._process_frame(Frame(self._opcode, self._message.take()))
            self._opcode = None
