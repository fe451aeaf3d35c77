"""``/flow-files``, ``/meter-readings`` and ``/meter-points``: what meters read, and how we know."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from wattbook.clock import to_epoch_us
from wattbook.errors import InvalidInput, Rejected, WattbookError
from wattbook.trade.statement import decode, refuse_repeated_keys
from wattbook_proto import meters_pb2

from gateway.api import meter_answers as answers
from gateway.api.http import CSV, Refusal, Request, Response, json_response
from gateway.api.multipart import OVERHEAD_BYTES, OneFile
from gateway.api.reports import tagged
from gateway.usecases.meters import Meters

DEFAULT_LIMIT = 100
_ERRORS_PAGE = 1_000
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d))?", re.ASCII)


class _Withdrawal(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""


_withdrawal = msgspec.json.Decoder(_Withdrawal)


class MetersApi:
    """Handlers of the meters document."""

    def __init__(self, meters: Meters, file_limit_bytes: int) -> None:
        """Serve ``meters``; files of at most ``file_limit_bytes`` are taken."""
        self._meters = meters
        self._limit_bytes = file_limit_bytes

    async def upload(self, request: Request) -> Response:
        """``POST /flow-files``."""
        self._meters.may_upload(request.principal)
        content_type = (request.header(b"content-type") or b"").decode("latin-1")
        body = request.stream(self._limit_bytes + OVERHEAD_BYTES)
        file = OneFile(content_type, body, limit_bytes=self._limit_bytes)
        try:
            return await self._imported(request, file)
        except WattbookError:
            await file.read_rest()
            raise

    async def _imported(self, request: Request, file: OneFile) -> Response:
        await file.open()
        dry_run = request.params.get("dry_run") == "true"
        start = meters_pb2.UploadStart(name=file.name, size_bytes=_announced(request), dry_run=dry_run)
        reply = await self._meters.upload(request.principal, start, file.pieces())
        return _uploaded(reply.results, left_alone=reply.left_alone, dry_run=dry_run)

    async def files(self, request: Request) -> Response:
        """``GET /flow-files``."""
        params = request.params
        asked = meters_pb2.FlowFilesRequest(
            state=answers.STATES[params["state"]] if "state" in params else meters_pb2.FILE_STATE_UNSPECIFIED,
            limit=params.get("limit", DEFAULT_LIMIT),
            cursor=params.get("cursor", ""),
            sha256=params.get("sha256", ""),
        )
        reply = await self._meters.look(request.principal, "FlowFiles", asked)
        rows = [answers.file(each) for each in reply.files]
        return _listed(request, "flow-files", rows, answers.FILE_COLUMNS, next_cursor=reply.next_cursor)

    async def file(self, request: Request) -> Response:
        """``GET /flow-files/{id}``."""
        reply = await self._meters.look(request.principal, "GetFlowFile", _one(request))
        return _tagged(request, msgspec.json.encode(answers.whole_file(reply.file)))

    async def errors(self, request: Request) -> Response:
        """``GET /flow-files/{id}/errors``."""
        number = request.params["id"]
        asked = meters_pb2.ErrorsRequest(id=number, limit=_ERRORS_PAGE)  # no more are kept
        reply = await self._meters.look(request.principal, "Errors", asked)
        rows = [answers.error(each) for each in reply.errors]
        return _listed(request, f"flow-files/{number}/errors", rows, answers.ERROR_COLUMNS)

    async def original(self, request: Request) -> Response:
        """``GET /flow-files/{id}/original``."""
        pieces = self._meters.original(request.principal, request.params["id"])
        # The first piece is awaited here, so that what fails at once is answered as an error.
        first = meters_pb2.OriginalPiece()
        async for first in pieces:  # noqa: B007  # anext with a default fails in CPython 3.11
            break
        name = first.file.member.rpartition("/")[2] or first.file.name
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}".encode()
        headers = [(b"content-disposition", disposition)]
        body = _bytes_of(first, pieces)
        return Response(200, content_type=b"application/octet-stream", headers=headers, pieces=body)

    async def retry(self, request: Request) -> Response:
        """``POST /flow-files/{id}/retry``."""
        return _uploaded([await self._meters.retry(request.principal, request.params["id"])], retried=True)

    async def withdraw(self, request: Request) -> Response:
        """``POST /flow-files/{id}/withdrawal``."""
        body = await request.body()
        reason = decode(_withdrawal.decode, body).reason
        refuse_repeated_keys(body)
        dry_run = request.params.get("dry_run") == "true"
        asked = meters_pb2.WithdrawRequest(id=request.params["id"], reason=reason, dry_run=dry_run)
        reply = await self._meters.withdraw(request.principal, asked)
        file = answers.whole_file(reply.file)
        return json_response({"file": file, "removed": reply.removed, "restored": reply.restored})

    async def readings(self, request: Request) -> Response:
        """``GET /meter-readings``."""
        params = request.params
        asked = meters_pb2.ReadingsRequest(
            nmi=params.get("nmi", ""),
            meter_serial=params.get("meter_serial", ""),
            quality=params.get("quality", ""),
            all_versions=params.get("versions") == "all",
            limit=params.get("limit", DEFAULT_LIMIT),
            cursor=params.get("cursor", ""),
        )
        if "from" in params:
            asked.from_us = _instant_us("from", params["from"])
        if "to" in params:
            asked.before_us = _instant_us("to", params["to"])
        reply = await self._meters.readings(request.principal, asked)
        rows = [answers.reading(each) for each in reply.readings]
        return _listed(
            request, "meter-readings", rows, answers.READING_COLUMNS, next_cursor=reply.next_cursor
        )

    async def meter_point(self, request: Request) -> Response:
        """``GET /meter-points/{nmi}``."""
        asked = meters_pb2.MeterPointRequest(nmi=request.params["nmi"])
        reply = await self._meters.look(request.principal, "GetMeterPoint", asked)
        return _tagged(request, msgspec.json.encode(answers.meter_point(reply)))


def _one(request: Request) -> meters_pb2.FlowFileRequest:
    return meters_pb2.FlowFileRequest(id=request.params["id"])


def _announced(request: Request) -> int:
    """The size of the body, which is a little more than the file's; 0 where it is not known."""
    return int(request.header(b"content-length") or 0)


def _instant_us(name: str, text: str) -> int:
    """Of a date its midnight in market time.

    Raises:
        InvalidInput: it is neither a date nor a date-time with its offset.
    """
    try:
        # A query's plus sign arrives as a space where it was not escaped.
        found = dt.datetime.fromisoformat(text[:11] + text[11:].replace(" ", "+"))
    except ValueError:
        found = None
    if found is None or not _INSTANT.fullmatch(text[:11] + text[11:].replace(" ", "+")):
        raise InvalidInput(
            f"{name}: expected a date (2024-01-31) or a date-time with its offset (2024-01-31T00:00:00+10:00)"
        )
    return to_epoch_us(found if found.tzinfo else found.replace(tzinfo=answers.MARKET_TIME))


def _uploaded(
    results: Sequence[meters_pb2.UploadResult], *, left_alone: Iterable[str] = (), dry_run: bool = False,
    retried: bool = False,
) -> Response:  # fmt: skip
    """201 where something new is in, 200 where all was known or nothing was to be kept.

    Raises:
        Refusal: it is rejected; the answer says why of each file.
    """
    body: dict[str, Any] = {
        "files": [answers.uploaded(each) for each in results], "left_alone": [*left_alone],
    }  # fmt: skip
    if any(each.result == meters_pb2.RESULT_IMPORTED for each in results):
        return json_response(body, status=200 if dry_run or retried else 201)
    if not results or any(each.file.state == meters_pb2.REJECTED for each in results):
        raise Refusal(Rejected(answers.why_rejected(results)), fields=body)
    return json_response(body)


def _listed(
    request: Request, path: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *,
    next_cursor: str = "",
) -> Response:  # fmt: skip
    """Rows in the form that is wanted, and where the next page is."""
    as_csv = request.params.get("format") == "csv" or request.accepted == "text/csv"
    body = answers.as_csv(columns, rows) if as_csv else msgspec.json.encode(rows)
    response = _tagged(request, body, content_type=CSV if as_csv else b"application/json")
    if next_cursor:
        query = urlencode({**request.params, "cursor": next_cursor})
        response.headers.append((b"link", f'</v1/{path}?{query}>; rel="next"'.encode()))
    return response


def _tagged(request: Request, body: bytes, *, content_type: bytes = b"application/json") -> Response:
    version = blake2b(body, digest_size=12).hexdigest()
    return tagged(request, body, version=version, content_type=content_type)


async def _bytes_of(
    first: meters_pb2.OriginalPiece, others: AsyncIterator[meters_pb2.OriginalPiece]
) -> AsyncGenerator[bytes, None]:
    if first.chunk:
        yield first.chunk
    async for piece in others:
        yield piece.chunk
