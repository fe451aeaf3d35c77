"""A stand-in for meter-service: a file is good where it begins with 100 and ends with 900."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

from wattbook.errors import Conflict, InvalidInput, NotFound, Unavailable
from wattbook_proto import meters_pb2, meters_pb2_grpc

READ_US = 1_073_433_813_000_000  # 2004-01-07 10:03:33 at +10:00
NMI, SERIAL = "NBBBX11110", "01002"
EVIL = '=HYPERLINK("x")'


class FakeMeters(meters_pb2_grpc.MetersServicer):
    """Remembers the files and the requests; ``broken_off`` counts uploads that never ended."""

    def __init__(self) -> None:
        self.down = False
        self.hold = threading.Event()  # before it keeps anything of an upload
        self.hold.set()
        self.held = threading.Event()
        self.asked: list[Any] = []
        self.files: dict[int, meters_pb2.FlowFile] = {}
        self.contents: dict[int, bytes] = {}
        self.broken_off = threading.Semaphore(0)
        self.chunks: list[int] = []
        self._lock = threading.Lock()

    def Upload(self, request_iterator: Any, context: Any) -> meters_pb2.UploadReply:  # noqa: N802
        start = next(request_iterator).start
        self._hear(start)
        content, ended = b"", False
        try:
            for request in request_iterator:
                content += request.chunk
                self.chunks.append(len(request.chunk))
                ended = request.HasField("end") and request.end.size_bytes == len(content)
        finally:
            if not ended:
                self.broken_off.release()
        if not ended:
            raise InvalidInput("the file broke off")
        self.held.set()
        self.hold.wait(20)
        if start.name.endswith(".zip"):
            names = content.decode().split()
            good = [self._taken(start, f"{name}900".encode(), name) for name in names if name != "x.pdf"]
            return meters_pb2.UploadReply(
                results=good, left_alone=[name for name in names if name == "x.pdf"]
            )
        return meters_pb2.UploadReply(results=[self._taken(start, content)])

    def _taken(self, start: Any, content: bytes, member: str = "") -> meters_pb2.UploadResult:
        sha256 = hashlib.sha256(content).hexdigest()
        with self._lock:
            for known in self.files.values():
                if known.sha256 == sha256 and known.state != meters_pb2.WITHDRAWN:
                    errors = _errors()[:20] if known.error_count else []
                    return meters_pb2.UploadResult(result=meters_pb2.RESULT_KNOWN, file=known, errors=errors)
            good = content.startswith(b"100") and content.rstrip().endswith(b"900")
            file = meters_pb2.FlowFile(
                id=len(self.files) + 1, name=start.name.replace("\\", "/").rpartition("/")[2], member=member,
                sha256=sha256, size_bytes=len(content), kind="NEM13",
                state=meters_pb2.IMPORTED if good else meters_pb2.REJECTED,
                way="folder" if start.from_folder else "API", received_us=READ_US, received_from="ana",
                records=2 if good else 0, stored=2 if good else 0, error_count=0 if good else 25,
                warnings=[meters_pb2.FileWarning(kind="spaces", text="spaces", count=3, lines=[2, 3])],
                warning_count=3,
            )  # fmt: skip
            if start.dry_run:
                file.id = 0
            else:
                self.files[file.id], self.contents[file.id] = file, content
        result = meters_pb2.RESULT_IMPORTED if good else meters_pb2.RESULT_REJECTED
        return meters_pb2.UploadResult(result=result, file=file, errors=[] if good else _errors()[:20])

    def FlowFiles(self, request: Any, context: Any) -> meters_pb2.FlowFilesReply:  # noqa: N802
        self._hear(request)
        before = _place(request.cursor) or len(self.files) + 1
        found = [
            file
            for number, file in sorted(self.files.items(), reverse=True)
            if number < before and request.state in (0, file.state) and request.sha256 in ("", file.sha256)
        ]
        page = found[: request.limit]
        more = str(page[-1].id) if len(found) > len(page) else ""
        return meters_pb2.FlowFilesReply(files=page, next_cursor=more)

    def GetFlowFile(self, request: Any, context: Any) -> meters_pb2.FlowFileReply:  # noqa: N802
        self._hear(request)
        return meters_pb2.FlowFileReply(file=self._file(request.id))

    def Errors(self, request: Any, context: Any) -> meters_pb2.ErrorsReply:  # noqa: N802
        self._hear(request)
        file = self._file(request.id)
        return meters_pb2.ErrorsReply(file=file, errors=_errors() if file.error_count else [])

    def Original(self, request: Any, context: Any) -> Iterator[meters_pb2.OriginalPiece]:  # noqa: N802
        self._hear(request)
        yield meters_pb2.OriginalPiece(file=self._file(request.id))
        content = self.contents[request.id]
        for place in range(0, len(content), 7):
            yield meters_pb2.OriginalPiece(chunk=content[place : place + 7])

    def Retry(self, request: Any, context: Any) -> meters_pb2.UploadResult:  # noqa: N802
        self._hear(request)
        file = self._file(request.id)
        if file.state != meters_pb2.REJECTED:
            raise Conflict(f"flow file {request.id} is not rejected")
        return meters_pb2.UploadResult(result=meters_pb2.RESULT_REJECTED, file=file, errors=_errors()[:20])

    def Withdraw(self, request: Any, context: Any) -> meters_pb2.WithdrawReply:  # noqa: N802
        self._hear(request)
        file = self._file(request.id)
        if file.state == meters_pb2.WITHDRAWN:
            return meters_pb2.WithdrawReply(file=file, already=True)
        if not request.dry_run:
            file.state, file.withdrawn_us, file.withdrawn_by = meters_pb2.WITHDRAWN, READ_US, "ana"
            file.withdrawn_reason = request.reason
        return meters_pb2.WithdrawReply(file=file, removed=2, restored=1)

    def Readings(self, request: Any, context: Any) -> meters_pb2.ReadingsReply:  # noqa: N802
        self._hear(request)
        if len(request.nmi) == 11 and request.nmi != f"{NMI}0":
            raise InvalidInput("nmi: the check digit of NBBBX11110 is 0")
        known = (request.nmi or NMI)[:10] == NMI and request.meter_serial in ("", SERIAL)
        found = [_reading(number) for number in range(5)] if known else []
        after = _place(request.cursor)
        page = found[after : after + request.limit]
        more = str(after + len(page)) if after + len(page) < len(found) else ""
        return meters_pb2.ReadingsReply(readings=page, next_cursor=more)

    def GetMeterPoint(self, request: Any, context: Any) -> meters_pb2.MeterPointReply:  # noqa: N802
        self._hear(request)
        if request.nmi[:10] != NMI:
            raise NotFound(f"no flow file named {request.nmi}")
        register = meters_pb2.Register(
            register_id="01", suffix="11", unit="kWh", direction="E", last=_reading(1),
            not_actual_since_us=READ_US, not_actual_reason="Locked gate", next_read_on="2004-04-07",
            overdue=True,
        )  # fmt: skip
        meter = meters_pb2.Meter(serial=SERIAL, first_read_at_us=READ_US, registers=[register])
        return meters_pb2.MeterPointReply(nmi=NMI, check_digit="0", meters=[meter])

    def _hear(self, request: Any) -> None:
        if self.down:
            raise Unavailable("the store cannot be reached now")
        self.asked.append(request)

    def _file(self, number: int) -> meters_pb2.FlowFile:
        if number not in self.files:
            raise NotFound(f"there is no flow file {number}")
        return self.files[number]


def _place(cursor: str) -> int:
    if cursor and not cursor.isdecimal():
        raise InvalidInput("cursor: not a cursor of this query; follow the Link header unchanged")
    return int(cursor or 0)


def _errors() -> list[meters_pb2.FileError]:
    return [
        meters_pb2.FileError(
            number=number, line=number + 1, record="250", field="CurrentRegisterRead", found="8. 77",
            expected="a decimal number",
        )
        for number in range(1, 26)
    ]  # fmt: skip


def _reading(number: int) -> meters_pb2.Reading:
    return meters_pb2.Reading(
        id=number + 1, nmi=NMI, meter_serial=SERIAL, register_id="01", suffix="11", direction="E",
        read_at_us=READ_US + number, value="056311.0", unit="kWh", quality="S", method="64",
        quality_words="substituted (method 64): Locked gate", reason_code="13", reason=EVIL,
        quantity="-1.5", current=number > 0, flow_file_id=1, flow_file_name="NEM13#a.csv", line=number + 2,
        service_orders=[meters_pb2.ServiceOrder(current_code="N", current_order="7")],
    )  # fmt: skip
