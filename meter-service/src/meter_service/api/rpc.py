"""The gRPC side: ``meters.proto`` in our own words and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from itertools import groupby
from typing import Any, BinaryIO, cast

import grpc
from django.db import connection
from wattbook.access import Principal
from wattbook.clock import Clock, from_epoch_us
from wattbook.errors import InvalidInput, NotFound, TooLarge
from wattbook.walls import caller
from wattbook_proto import meters_pb2, meters_pb2_grpc

from meter_service import usecases
from meter_service.api import messages
from meter_service.api.wanted import place_of, place_text
from meter_service.domain.codes import QUALITIES
from meter_service.domain.files import Outcome, Result
from meter_service.domain.nmi import check_digit, is_nmi
from meter_service.models import MARKET_TIME, FlowFile, Meter, MeterPoint, Register
from meter_service.store import browse, files
from meter_service.store.connection import explained

RULES = {
    **dict.fromkeys(
        ("FlowFiles", "GetFlowFile", "Errors", "Original", "Readings", "GetMeterPoint"),
        Principal.require_meters,
    ),
    "Upload": Principal.require_import,
    "Retry": Principal.require_desk_write,
    "Withdraw": Principal.require_desk_write,
}
DEFAULT_LIMIT, MOST = 100, 1_000
_IN_MEMORY_BYTES = 1024 * 1024
_ACTUAL = "A"
_STATES = {number: state for state, number in messages.STATES.items()}
_NO_CURSOR = "cursor: not a cursor of this query; follow the Link header unchanged"
_CHECKED_LENGTH = 11  # an NMI with its check digit


def _from_store(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of the store in our words; its connection is given back, since there is a thread a call."""

    @wraps(answer)
    def answered(self: Any, request: Any, context: Any) -> Any:
        try:
            with explained():
                return answer(self, request, context)
        finally:
            _give_back()

    return answered


def _give_back() -> None:
    if connection.vendor != "sqlite":
        connection.close()


class MetersServicer(meters_pb2_grpc.MetersServicer):
    """``wattbook.meters.v1.Meters``."""

    def __init__(self, clock: Clock, *, limit_bytes: int) -> None:
        """Take files of at most ``limit_bytes``."""
        self._clock = clock
        self._limit_bytes = limit_bytes

    @_from_store
    def Upload(self, requests: Iterator[meters_pb2.UploadRequest], context: Any) -> meters_pb2.UploadReply:  # noqa: N802
        """Take the bytes first, then import them."""
        start = _start(requests)
        with _spool() as spooled:
            size_bytes = self._take(requests, spooled)
            if start.dry_run:
                outcomes = usecases.look_at(spooled, name=start.name)
            else:
                sender = usecases.Sender(caller().name, "folder" if start.from_folder else "API")
                outcomes = usecases.import_file(spooled, name=start.name, sender=sender, clock=self._clock)
            return _reply(outcomes, size_bytes)

    def _take(self, requests: Iterator[meters_pb2.UploadRequest], spooled: BinaryIO) -> int:
        size_bytes = 0
        for request in requests:
            if request.HasField("end"):
                if request.end.size_bytes != size_bytes:
                    raise InvalidInput(f"{request.end.size_bytes} bytes were sent, {size_bytes} arrived")
                return size_bytes
            size_bytes += len(request.chunk)
            if size_bytes > self._limit_bytes:
                raise TooLarge(f"the file is over {self._limit_bytes} bytes")
            spooled.write(request.chunk)
        raise InvalidInput("the file broke off")

    @_from_store
    def FlowFiles(self, request: meters_pb2.FlowFilesRequest, context: Any) -> meters_pb2.FlowFilesReply:  # noqa: N802
        """Newest first."""
        limit = _limit(request.limit)
        rows = FlowFile.objects.order_by("-id")
        if request.state:
            rows = rows.filter(state=_STATES[request.state])
        if request.sha256:
            rows = rows.filter(sha256=request.sha256)
        if request.cursor:
            rows = rows.filter(id__lt=_number(request.cursor))
        found = list(rows[: limit + 1])
        cursor = str(found[limit - 1].pk) if len(found) > limit else ""
        return meters_pb2.FlowFilesReply(files=map(messages.file, found[:limit]), next_cursor=cursor)

    @_from_store
    def GetFlowFile(self, request: meters_pb2.FlowFileRequest, context: Any) -> meters_pb2.FlowFileReply:  # noqa: N802
        """One with its warnings."""
        return meters_pb2.FlowFileReply(file=messages.whole_file(files.named(request.id)))

    @_from_store
    def Errors(self, request: meters_pb2.ErrorsRequest, context: Any) -> meters_pb2.ErrorsReply:  # noqa: N802
        """Why it was rejected."""
        file = files.named(request.id)
        limit = _limit(request.limit or MOST)
        rows = file.errors.filter(number__gte=request.after_number).order_by("number")
        found = list(rows[: limit + 1])
        return meters_pb2.ErrorsReply(
            file=messages.file(file), errors=map(messages.error, found[:limit]), more=len(found) > limit
        )

    def Original(  # noqa: N802
        self, request: meters_pb2.FlowFileRequest, context: grpc.ServicerContext
    ) -> Iterator[meters_pb2.OriginalPiece]:
        """Its bytes."""
        try:
            yield meters_pb2.OriginalPiece(file=messages.file(files.named(request.id)))
            for piece in files.original(request.id):
                yield meters_pb2.OriginalPiece(chunk=piece)
        finally:
            _give_back()

    @_from_store
    def Retry(self, request: meters_pb2.FlowFileRequest, context: Any) -> meters_pb2.UploadResult:  # noqa: N802
        """Read it again."""
        return messages.upload_result(usecases.retry(request.id, clock=self._clock), 0)

    @_from_store
    def Withdraw(self, request: meters_pb2.WithdrawRequest, context: Any) -> meters_pb2.WithdrawReply:  # noqa: N802
        """Take its readings away, or count them."""
        already = files.named(request.id).state == FlowFile.State.WITHDRAWN
        if request.dry_run:
            counted = usecases.preview(request.id)
        else:
            counted = usecases.withdraw(
                request.id, by=caller().name, reason=request.reason, clock=self._clock
            )
        return meters_pb2.WithdrawReply(
            file=messages.whole_file(files.named(request.id)), removed=counted.gone,
            restored=counted.become_current, already=already,
        )  # fmt: skip

    @_from_store
    def Readings(self, request: meters_pb2.ReadingsRequest, context: Any) -> meters_pb2.ReadingsReply:  # noqa: N802
        """A page."""
        limit, filters, registers = _limit(request.limit), _filters(request), _registers(request)
        after = _place(request.cursor, registers)
        found = list(browse.readings(registers, filters, after=after, most=limit + 1))
        rows = found[:limit]
        last = rows[-1] if len(found) > limit else None
        cursor = place_text(last.register_id, last.read_at, last.pk) if last else ""
        told = messages.readings(rows, browse.file_names(rows))
        return meters_pb2.ReadingsReply(readings=told, next_cursor=cursor)

    @_from_store
    def GetMeterPoint(  # noqa: N802
        self, request: meters_pb2.MeterPointRequest, context: Any
    ) -> meters_pb2.MeterPointReply:
        """With its meters in time."""
        nmi = _nmi(request.nmi)
        point = MeterPoint.objects.filter(nmi=nmi).first()
        if point is None:
            raise NotFound(f"no flow file has brought a reading of {nmi}")
        by_meter = groupby(browse.registers_of(point), key=lambda register: register.meter)
        meters = [self._meter(meter, list(registers)) for meter, registers in by_meter]
        meters.sort(key=lambda meter: (meter.first_read_at_us, meter.serial))
        return meters_pb2.MeterPointReply(nmi=nmi, check_digit=check_digit(nmi), meters=meters)

    def _meter(self, meter: Meter, registers: list[Register]) -> meters_pb2.Meter:
        today = self._clock.now().astimezone(MARKET_TIME).date()
        found = meters_pb2.Meter(serial=meter.serial)
        firsts, lasts = [], []
        for each in registers:
            newest, first = browse.newest(each), browse.oldest(each)
            actual = browse.newest(each, quality=_ACTUAL)
            since = None
            if newest is not None and first is not None:
                firsts.append(messages.micros(first.read_at))
                lasts.append(messages.micros(newest.read_at))
                if newest.quality != _ACTUAL:
                    since = browse.oldest(each, after=actual.read_at if actual else None)
            told = messages.register(each, newest=newest, last_actual=actual, since=since, today=today)
            found.registers.append(told)
        found.first_read_at_us, found.last_read_at_us = min(firsts, default=0), max(lasts, default=0)
        return found


def _start(requests: Iterator[meters_pb2.UploadRequest]) -> meters_pb2.UploadStart:
    first = next(requests, meters_pb2.UploadRequest())
    if not first.HasField("start"):
        raise InvalidInput("the first message says what comes")
    return first.start


def _spool() -> Any:
    return cast(Any, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))


def _reply(outcomes: Iterator[Outcome], size_bytes: int) -> meters_pb2.UploadReply:
    reply = meters_pb2.UploadReply()
    for outcome in outcomes:
        if outcome.result == Result.LEFT_ALONE:
            reply.left_alone.append(outcome.member)
        else:
            reply.results.append(messages.upload_result(outcome, size_bytes))
    return reply


def _limit(asked: int) -> int:
    if asked > MOST:
        raise InvalidInput(f"limit: at most {MOST}")
    return asked or DEFAULT_LIMIT


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise InvalidInput(_NO_CURSOR)
    return int(cursor)


def _place(cursor: str, registers: Sequence[Register]) -> browse.Place | None:
    try:
        place = place_of(cursor)
    except InvalidInput:
        raise InvalidInput(_NO_CURSOR) from None
    if place is not None and place.register_id not in {each.pk for each in registers}:
        raise InvalidInput(_NO_CURSOR)
    return place


def _nmi(text: str) -> str:
    """In upper case, without spaces and its check digit.

    Raises:
        InvalidInput: the check digit is wrong; says which is right.
    """
    nmi = "".join(text.split()).upper()
    if len(nmi) != _CHECKED_LENGTH or not is_nmi(nmi[:-1]):
        return nmi
    digit = check_digit(nmi[:-1])
    if nmi[-1] != digit:
        raise InvalidInput(f"nmi: the check digit of {nmi[:-1]} is {digit}, not {nmi[-1]}")
    return nmi[:-1]


def _registers(request: meters_pb2.ReadingsRequest) -> list[Register]:
    if not request.nmi and not request.meter_serial:
        raise InvalidInput("expected nmi or meter_serial, or both")
    rows = Register.objects.select_related("meter__meter_point").order_by(
        "meter__meter_point__nmi", "meter__serial", "register_id", "suffix"
    )
    if request.nmi:
        rows = rows.filter(meter__meter_point__nmi=_nmi(request.nmi))
    if request.meter_serial:
        rows = rows.filter(meter__serial="".join(request.meter_serial.split()).upper())
    found = list(rows[: browse.MOST_REGISTERS + 1])
    if len(found) > browse.MOST_REGISTERS:
        raise InvalidInput(f"this fits more than {browse.MOST_REGISTERS} registers; name the NMI too")
    return found


def _filters(request: meters_pb2.ReadingsRequest) -> browse.Filters:
    if request.quality and request.quality not in QUALITIES:
        raise InvalidInput(f"quality: expected one of {', '.join(QUALITIES)}")
    return browse.Filters(
        from_at=from_epoch_us(request.from_us) if request.HasField("from_us") else None,
        to_at=from_epoch_us(request.before_us) if request.HasField("before_us") else None,
        quality=request.quality,
        all_versions=request.all_versions,
    )
