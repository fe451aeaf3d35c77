"""The gateway's token and batch endpoints over real HTTP, with the faults that a test asks for."""

from __future__ import annotations

import base64
import csv
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.trades import FIELDS

CLIENT_ID = "ingest-service"
CLIENT_SECRET = "secret of the test"
POINTS = ("token", "request", "half the body", "booked", "half the answer", "answered")


class Hold:
    """A point at which requests wait until the test lets them go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._free = threading.Event()

    def pass_by(self) -> None:
        self.reached.set()
        self._free.wait(60)

    def release(self) -> None:
        self._free.set()


@dataclass
class Refusal:
    """What to answer instead of booking."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "told to"
    times: int = 1_000_000
    after_body: bool = True
    only_bytes: int | None = None  # only bodies of this length


class FakeGateway:
    """Books rows by id; its address stays the same when it goes down and comes back."""

    def __init__(self) -> None:
        self.trades: dict[str, tuple[str, ...]] = {}
        self.uploads: list[dict[str, Any]] = []
        self.token_requests = 0
        self.tokens: set[str] = set()
        self.token_lasts_s = 3600
        self.holds: dict[str, Hold] = {}
        self.refusal: Refusal | None = None
        self.break_off_answers = 0
        self.answer_lines: list[str] | None = None  # instead of the right ones
        self._server: ThreadingHTTPServer | None = None
        self._mutex = threading.Lock()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def up(self) -> FakeGateway:
        """Answer from now on."""
        fake = self

        class Handler(_Handler):
            gateway = fake

        self._server = _Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def down(self) -> None:
        """Refuse connections and break off open ones."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.break_off()
        for hold in self.holds.values():
            hold.release()

    def hold(self, point: str) -> Hold:
        """Let requests wait at ``point``."""
        assert point in POINTS
        self.holds[point] = Hold()
        return self.holds[point]

    def release(self) -> None:
        """Let all waiting requests go, and no others wait."""
        holds, self.holds = self.holds, {}
        for hold in holds.values():
            hold.release()

    def at(self, point: str) -> None:
        if point in self.holds:
            self.holds[point].pass_by()

    def book(self, fields: list[str], header: list[str]) -> tuple[str, str, str]:
        """id, result and reason of one row."""
        if len(fields) != len(header):
            return "", "invalid", f"{len(fields)} columns instead of {len(header)}"
        row = dict(zip(header, fields, strict=True))
        if not row["price"].lstrip("-").isdigit():
            return row["id"], "invalid", "price: not a whole number"
        if row["direction"] not in {"buy", "sell"}:
            return row["id"], "invalid", "direction: buy or sell"
        if not row["execution_time"].endswith("Z"):
            return row["id"], "invalid", "execution_time: no zone"
        content = tuple(row[name] for name in FIELDS)
        with self._mutex:
            known = self.trades.setdefault(row["id"], content)
        if known is content:
            return row["id"], "added", ""
        return row["id"], *(
            ("duplicate", "") if known == content else ("conflict", "known with other content")
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 50

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is what some tests are about."""

    def break_off(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway: FakeGateway

    def log_message(self, *_arguments: Any) -> None:
        """Not on the test's output."""

    def do_POST(self) -> None:
        if self.path == "/v1/oauth/token":
            self._token()
        else:
            self._batch()

    def _token(self) -> None:
        fake = self.gateway
        self.rfile.read(int(self.headers["Content-Length"]))
        fake.token_requests += 1
        fake.at("token")
        wanted = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {wanted}":
            return self._answer(401, b'{"error":"invalid_client"}')
        token = f"token-{fake.token_requests}"
        fake.tokens.add(token)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": fake.token_lasts_s}
        return self._answer(200, json.dumps(body).encode())

    def _batch(self) -> None:
        fake = self.gateway
        left = int(self.headers["Content-Length"])
        assert self.headers["Content-Type"] == "text/csv"
        assert self.headers["Accept"] == "application/x-ndjson"
        assert self.path == "/v1/trades/batch?source=file&results=refused"
        fake.at("request")
        if self.headers["Authorization"].removeprefix("Bearer ") not in fake.tokens:
            self._drain(left)
            return self._error(401, "unknown token")
        refusal = fake.refusal
        if refusal is not None and refusal.times > 0 and refusal.only_bytes in {None, left}:
            refusal.times -= 1
            if refusal.after_body:
                self._drain(left)
            return self._error(refusal.status, refusal.message, refusal.headers)
        return self._book(left)

    def _book(self, length: int) -> None:
        fake = self.gateway
        lines = self._lines(length)
        header = next(lines, b"").removeprefix(b"\xef\xbb\xbf").decode().rstrip("\r\n").split(",")
        if sorted(header) != sorted(FIELDS):
            list(lines)
            missing = sorted(set(FIELDS) - set(header))
            return self._error(
                400, f"missing columns: {', '.join(missing)}" if length else "the body is empty"
            )
        counts = dict.fromkeys(("added", "duplicate", "conflict", "invalid"), 0)
        refused = []
        for number, line in enumerate((line for line in lines if line.strip(b"\r\n")), start=1):
            trade_id, result, reason = self._row(line, header)
            counts[result] += 1
            if reason:
                refused.append({"row": number, "id": trade_id, "result": result, "reason": reason})
        fake.uploads.append({"counts": counts, "request_id": self.headers["X-Request-Id"], "bytes": length})
        fake.at("booked")
        return self._answer_rows(refused, counts)

    def _row(self, line: bytes, header: list[str]) -> tuple[str, str, str]:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return "", "invalid", "not UTF-8"
        return self.gateway.book(next(csv.reader([text])), header)

    def _answer_rows(self, refused: list[dict[str, Any]], counts: dict[str, int]) -> None:
        fake = self.gateway
        lines = [json.dumps(row).encode() + b"\n" for row in refused]
        summary = json.dumps({"summary": counts}).encode() + b"\n"
        if fake.answer_lines is not None:
            lines, summary = [line.encode() + b"\n" for line in fake.answer_lines], b""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Content-Length", str(sum(map(len, lines)) + len(summary)))
        self.end_headers()
        half = len(lines) // 2
        self.wfile.write(b"".join(lines[:half]))
        self.wfile.flush()
        fake.at("half the answer")
        if fake.break_off_answers > 0:
            fake.break_off_answers -= 1
            self.close_connection = True
            return
        self.wfile.write(b"".join(lines[half:]) + summary)
        self.wfile.flush()
        fake.at("answered")

    def _lines(self, length: int) -> Iterator[bytes]:
        left, rest, half_done = length, b"", False
        while left:
            chunk = self.rfile.read(min(left, 1 << 16))
            if not chunk:
                raise ConnectionResetError("the client is gone")
            left -= len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line + b"\n" for line in lines)
            if not half_done and left <= length // 2:
                half_done = True
                self.gateway.at("half the body")
        if rest:
            yield rest

    def _drain(self, left: int) -> None:
        while left and (chunk := self.rfile.read(min(left, 1 << 20))):
            left -= len(chunk)

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        body = {"status_code": status, "message": message, "code": "told"}
        self._answer(status, json.dumps(body).encode(), headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
