"""``multipart/form-data`` (RFC 7578) of exactly one file, as it streams in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from wattbook.errors import InvalidInput, TooLarge

GATHER_BYTES = 256 * 1024
OVERHEAD_BYTES = 64 * 1024  # of boundaries and a part's headers
_LONGEST_HEADER = 32 * 1024
_MOST_HEADERS = 16


class OneFile:
    """The only file of a body; after :meth:`open`, ``name`` is as sent and :meth:`pieces` are its bytes."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes], *, limit_bytes: int) -> None:
        """Read ``body``, whose header says ``content_type``; the file has at most ``limit_bytes``.

        Raises:
            InvalidInput: no boundary is named.
        """
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise InvalidInput("Content-Type: names no boundary")
        self.name = ""
        self._body = body
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []
        self._gathered_bytes = self._size_bytes = 0
        self._field = self._value = b""
        self._disposition = ""
        self._parts = 0
        self._in_data = self._ended = False
        try:
            self._parser: Any = MultipartParser(
                boundary, self._callbacks(), max_header_count=_MOST_HEADERS, max_header_size=_LONGEST_HEADER
            )
        except FormParserError:
            raise InvalidInput("Content-Type: its boundary is too long") from None

    async def open(self) -> None:
        """Read as far as the file begins.

        Raises:
            InvalidInput: it does not; Disconnected like the body.
        """
        async for piece in self._body:
            self._parse(piece)
            if self._in_data or self._ended:
                return
        self._refuse_torn()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file's bytes, in pieces that are each worth a message.

        Raises:
            InvalidInput: the body breaks off, or holds another part.
            TooLarge: the file is over the limit.
        """
        async for piece in self._body:
            if self._gathered_bytes >= GATHER_BYTES:
                yield self._gathered()
            self._parse(piece)
        self._refuse_torn()
        if self._gathered_bytes:
            yield self._gathered()

    async def read_rest(self) -> None:
        """Take what still comes, for nothing: many clients read no answer before they have sent all."""
        with suppress(TooLarge):
            async for _ in self._body:
                pass

    def _gathered(self) -> bytes:
        whole = b"".join(self._pieces)
        self._pieces, self._gathered_bytes = [], 0
        return whole

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise InvalidInput(f"the body is no multipart/form-data: {error}") from None

    def _refuse_torn(self) -> None:
        if not self._ended:
            raise InvalidInput("the body ends before its last boundary")
        if not self._parts:
            raise InvalidInput("the body has no part; expected one file")

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._part_begins,
            "on_header_begin": self._header_begins,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._data_begins,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise InvalidInput("the body has two parts; expected one file a request")

    def _header_begins(self) -> None:
        self._field = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value.decode("latin-1")

    def _data_begins(self) -> None:
        kind, options = parse_options_header(self._disposition)
        self.name = options.get(b"filename", b"").decode(errors="replace")
        if kind != b"form-data" or not self.name:
            raise InvalidInput("the part is no file: its Content-Disposition names no filename")
        self._in_data = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size_bytes += end - start
        if self._size_bytes > self._limit_bytes:
            raise TooLarge(f"the file is over {self._limit_bytes} bytes")
        self._pieces.append(data[start:end])
        self._gathered_bytes += end - start

    def _end(self) -> None:
        self._ended = True
