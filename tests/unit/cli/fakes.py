"""A gateway stood in for: as much of the REST API as the command uses, over real HTTP."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

REPORT = {
    "trader_id": "trader_1", "delivery_day": "2023-02-28", "area": "DE", "time_zone": "Europe/Berlin",
    "hours": [
        {
            "label": f"{hour:02d}–{hour + 1:02d}", "delivery_hour": hour,
            "delivery_start": f"2023-02-28T{hour:02d}:00:00Z", "trades": 0, "buy_mw": 0, "sell_mw": 0,
            "buy_mwh": 0, "sell_mwh": 0, "pnl_eur": 0,
        }
        for hour in range(24)
    ],
    "total": {"trades": 3, "buy_mw": 4.5, "sell_mw": 12, "buy_mwh": 4.5, "sell_mwh": 12, "pnl_eur": 1234.5},
}  # fmt: skip
REPORT["hours"][14].update(trades=2, sell_mw=12, sell_mwh=12, pnl_eur=1354.5)  # type: ignore[attr-defined,index]
REPORT["hours"][15].update(trades=1, buy_mw=4.5, buy_mwh=4.5, pnl_eur=-120)  # type: ignore[attr-defined,index]
REPORT_JSON = json.dumps(REPORT, ensure_ascii=False).encode()
REPORT_CSV = b"Hour,Number of trades,Total BUY [MW],Total SELL [MW],PnL [EUR]\r\n00,0,0,0,0.00\r\n"


@dataclass
class FakeGateway:
    """What it knows and what it was asked."""

    url: str = ""
    passwords: dict[str, str] = field(default_factory=lambda: {"admin": "right"})
    users: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "admin": {"name": "admin", "roles": ["admin"], "trader_id": None, "disabled": False}
        }
    )
    trades: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    lifetime_s: int = 3600
    refuse_all: tuple[int, str, dict[str, str]] | None = None
    breaks_off: bool = False
    answers: dict[str, Any] = field(default_factory=dict)  # "GET /v1/feed" → body, or (status, message)
    tags: dict[str, str] = field(default_factory=dict)  # the ETags of these

    def forget_tokens(self) -> None:
        self.tokens.clear()

    def issue(self, user: str) -> dict[str, Any]:
        number = len(self.asked)
        access, refresh = f"access-{number}", f"refresh-{number}"
        self.tokens[access] = self.refresh_tokens[refresh] = user
        return {
            "access_token": access, "refresh_token": refresh, "token_type": "Bearer",
            "expires_in": self.lifetime_s,
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeGateway

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def log_message(self, *_: Any) -> None:
        return None

    def _serve(self, method: str) -> None:
        body = self._body()
        path = urlsplit(self.path)
        self.fake.asked.append((method, path.path, path.query))
        self.fake.bodies.append(body)
        if self.fake.refuse_all:
            status, message, headers = self.fake.refuse_all
            return self._refuse(status, message, headers)
        if path.path == "/v1/oauth/token":
            return self._token(dict(parse_qsl(body.decode())))
        if path.path == "/v1/oauth/revoke":
            self.fake.refresh_tokens.pop(dict(parse_qsl(body.decode()))["token"], None)
            return self._send(200, b"")
        if path.path == "/healthz":  # for everybody
            return self._json(200, self.fake.answers.get("GET /healthz", {"status": "ok"}))
        user = self._user()
        if user is None:
            return self._refuse(401, "wrong user name or password")
        if f"{method} {path.path}" in self.fake.answers:
            return self._prepared(f"{method} {path.path}", parse_qs(path.query))
        return self._answer_to(method, path.path, parse_qs(path.query), body, user)

    def _answer_to(self, method: str, path: str, query: dict[str, list[str]], body: bytes, user: str) -> None:
        fake = self.fake
        if path == "/v1/me/password":
            said = json.loads(body)
            if fake.passwords[user] != said["old_password"]:
                return self._refuse(403, "the old password is wrong")
            fake.passwords[user] = said["new_password"]
            return self._send(204, b"")
        if path == "/v1/me":
            return self._json(200, fake.users[user])
        if path == "/v1/reports/pnl":
            csv_wanted = self.headers["Accept"] == "text/csv"
            return self._send(200, REPORT_CSV if csv_wanted else REPORT_JSON)
        if path == "/v1/trades/batch":
            return self._batch(body)
        if path == "/v1/trades":
            return self._trades(query)
        if path == "/v1/users" and method == "GET":
            return self._json(200, list(fake.users.values()))
        if path == "/v1/users":
            return self._add_user(json.loads(body))
        name = path.rpartition("/")[2]
        if name not in fake.users:
            return self._refuse(404, f"there is no user {name!r}")
        change = json.loads(body)
        fake.passwords[name] = change.pop("password", fake.passwords.get(name, ""))
        fake.users[name].update(change)
        return self._json(200, fake.users[name])

    def _prepared(self, what: str, query: dict[str, list[str]]) -> None:
        body, tag = self.fake.answers[what], self.fake.tags.get(what, "")
        if isinstance(body, tuple):
            return self._refuse(*body)
        if isinstance(body, bytes):
            return self._send(200, body)
        if tag and self.headers["If-None-Match"] == tag:
            return self._send(304, b"", {"ETag": tag})
        if self.headers["Accept"] == "text/csv":
            return self._send(200, b"Hour,Light\n00,grey\n")
        headers = {"ETag": tag} if tag else {}
        if isinstance(body, list):  # pages
            number = int(query.get("cursor", ["0"])[0])
            if number + 1 < len(body):
                headers["Link"] = f'<{what.split()[1]}?cursor={number + 1}>; rel="next"'
            body = body[number]
        return self._json(200, body, headers)

    def _add_user(self, said: dict[str, Any]) -> None:
        if said["name"] in self.fake.users:
            return self._refuse(409, f"there is a user {said['name']!r} already")
        self.fake.passwords[said["name"]] = said.pop("password")
        self.fake.users[said["name"]] = {**said, "disabled": False}
        return self._json(201, said)

    def _trades(self, query: dict[str, list[str]]) -> None:
        first = int(query.get("cursor", ["0"])[0])
        limit = int(query.get("limit", [str(len(self.fake.trades))])[0])
        rest = self.fake.trades[first + limit :]
        link = {"Link": f'</v1/trades?limit={limit}&cursor={first + limit}>; rel="next"'} if rest else {}
        return self._json(200, self.fake.trades[first : first + limit], link)

    def _batch(self, body: bytes) -> None:
        lines = [line for line in body.decode(errors="replace").splitlines() if line.strip()]
        rows = lines[1:] if self.headers["Content-Type"] == "text/csv" else lines
        counts = dict.fromkeys(("added", "duplicate", "conflict", "invalid"), 0)
        answers: list[dict[str, Any]] = []
        for number, row in enumerate(rows, start=1):
            result = next((kind for kind in ("duplicate", "conflict", "invalid") if kind in row), "added")
            counts[result] += 1
            if result in ("conflict", "invalid"):
                answers.append(
                    {"row": number, "id": f"t_{number}", "result": result, "reason": f"is {result}"}
                )
        lasts = [] if self.fake.breaks_off else [{"summary": counts}]
        return self._send(200, b"".join(json.dumps(line).encode() + b"\n" for line in [*answers, *lasts]))

    def _token(self, form: dict[str, str]) -> None:
        fake = self.fake
        if form["grant_type"] == "password":
            if fake.passwords.get(form["username"]) != form["password"]:
                return self._refuse(401, "wrong user name or password")
            return self._json(200, fake.issue(form["username"]))
        user = fake.refresh_tokens.pop(form["refresh_token"], None)
        if user is None:
            return self._refuse(400, "this refresh token is not good")
        return self._json(200, fake.issue(user))

    def _user(self) -> str | None:
        kind, _, rest = self.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer":
            return self.fake.tokens.get(rest)
        if kind != "Basic":
            return None
        name, _, password = base64.b64decode(rest).decode().partition(":")
        return name if self.fake.passwords.get(name) == password else None

    def _refuse(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        self._json(status, {"status_code": status, "message": message, "code": "x"}, headers)

    def _json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"X-Request-Id": "req-7", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Nothing: the traceback of a caller that hung up would land in what the command said."""


@contextmanager
def serving() -> Iterator[FakeGateway]:
    """The gateway, listening, for the block."""
    fake = FakeGateway()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
