"""Meter readings and flow files, for those who may see them or bring them in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from wattbook.access import Principal
from wattbook.errors import InvalidInput, Unavailable
from wattbook_proto import meters_pb2

from gateway.clients import MetersClient

MOST_UPLOADS = 24  # at once; each holds a thread of meter-service


class Meters:
    """Flow files and readings of meter-service."""

    def __init__(self, client: MetersClient) -> None:
        """Ask ``client``."""
        self._client = client
        self._uploads = 0

    async def look(self, asker: Principal, method: str, request: Any) -> Any:
        """What meter-service answers to a question.

        Raises:
            Forbidden: not the asker's to see. NotFound: there is no such thing.
            InvalidInput: the question cannot be answered.
        """
        asker.require_meters()
        return await self._client.ask(asker, method, request)

    async def readings(
        self, asker: Principal, request: meters_pb2.ReadingsRequest
    ) -> meters_pb2.ReadingsReply:
        """A page of readings of a meter point or a meter. Raises like :meth:`look`."""
        asker.require_meters()
        if not request.nmi and not request.meter_serial:
            raise InvalidInput("expected nmi or meter_serial, or both")
        if (
            request.HasField("from_us")
            and request.HasField("before_us")
            and request.from_us > request.before_us
        ):
            raise InvalidInput("from: expected an instant before `to`")
        return await self._client.ask(asker, "Readings", request)

    async def original(self, asker: Principal, number: int) -> AsyncIterator[meters_pb2.OriginalPiece]:
        """The file, then its bytes as they came. Raises like :meth:`look`."""
        asker.require_meters()
        async for piece in self._client.original(asker, number):
            yield piece

    def may_upload(self, asker: Principal) -> None:
        """Insist that the asker may bring files in, before any of their bytes is read.

        Raises:
            Forbidden: they may not.
            Unavailable: too many do at once.
        """
        asker.require_import()
        if self._uploads >= MOST_UPLOADS:
            raise Unavailable("too many files are sent at once; try again", retry_after_s=2)

    async def upload(
        self, asker: Principal, start: meters_pb2.UploadStart, pieces: AsyncIterator[bytes]
    ) -> meters_pb2.UploadReply:
        """What became of each flow file in what was sent.

        Raises:
            Forbidden: the asker may not bring files in.
            Unavailable: it is kept and will be read later, or was not taken.
        """
        self.may_upload(asker)
        start.from_folder = asker.speaks_for_exchange  # ingest-service, whose files come from a folder
        self._uploads += 1
        try:
            reply = await self._client.upload(asker, start, pieces)
        finally:
            self._uploads -= 1
        for each in reply.results:
            if each.result == meters_pb2.RESULT_RECEIVED:
                raise Unavailable(f"flow file {each.file.id} is kept and will be read later")
        return reply

    async def retry(self, asker: Principal, number: int) -> meters_pb2.UploadResult:
        """Have a rejected file read again.

        Raises:
            Forbidden: not the asker's to do. NotFound: there is none of that number.
            Conflict: it is imported or withdrawn.
        """
        asker.require_desk_write()
        return await self._client.tell(asker, "Retry", meters_pb2.FlowFileRequest(id=number))

    async def withdraw(
        self, asker: Principal, request: meters_pb2.WithdrawRequest
    ) -> meters_pb2.WithdrawReply:
        """Take back what a file brought, or say what that would change.

        Raises:
            Forbidden: not the asker's to do. NotFound: there is none of that number.
            Conflict: it was rejected, so nothing of it is stored.
            InvalidInput: no reason is given.
        """
        asker.require_desk_write()
        if not request.dry_run and not request.reason.strip():
            raise InvalidInput("reason: missing; say why the file is withdrawn")
        return await self._client.tell(asker, "Withdraw", request)
