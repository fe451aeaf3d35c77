"""The HTTP server of gateway and pages: what a slow or greedy client can hold, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import pytest
from wattbook.web import server as module
from wattbook.web.server import Server, counted_as
from wattbook.web.settings import HttpSettings, listen

from tests.support.waiting import wait_until

TRADERS, TABS, BROWSER_CONNECTIONS = 15, 10, 6
BIG = 32 * 1024**2
HALF_A_POST = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
HALF_A_HEAD = b"GET /echo HTTP/1.1\r\nHost: x\r\nX-A"


class Site:
    """A started server; its application tells what happened to each request."""

    def __init__(self, **settings: Any) -> None:
        usual = {"head_timeout_s": 0.5, "body_timeout_s": 0.5}
        self._stopping = threading.Event()
        self._listening, self._probing = listen("127.0.0.1:0"), listen("127.0.0.1:0")
        self.port, self.probe_port = (each.getsockname()[1] for each in (self._listening, self._probing))
        self.server = Server(
            self._application,
            settings=HttpSettings(**{**usual, **settings}),
            stopping=self._stopping,
            probes=self._probes,
        )
        self.left: list[str] = []
        self.wait_s = 0.0
        self._thread = threading.Thread(
            target=self.server.serve_on, args=([self._listening],), kwargs={"probing": self._probing}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await asyncio.sleep(self.wait_s)
        size, more = 0, scope["path"] == "/echo"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.append(scope["path"])
                return
            size += len(message["body"])
            more = message["more_body"]
        await self._probes(scope, receive, send, b"x" * BIG if scope["path"] == "/big" else b"%d" % size)

    async def _probes(self, scope: Any, receive: Any, send: Any, body: bytes = b"well") -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def connection(self, data: bytes = b"", *, port: int = 0) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", port or self.port), timeout=10)
        made.sendall(data)
        return made

    def answer(self, body: bytes = b"", path: str = "/echo", *, port: int = 0) -> str:
        """What an honest client gets."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST" if body else "GET", path, body or None)
            return connection.getresponse().read().decode()

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


def all_of(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    answer = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            answer += piece
    return answer


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as started:
        yield started


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (HALF_A_HEAD, b"", b""),
        (HALF_A_HEAD, b"a", b""),
        (b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n", b""),
        (HALF_A_POST, b"", b"the body stopped arriving"),
        (HALF_A_POST, b" ", b"the body stopped arriving"),
        (b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n", b"x", b"HTTP/1.1 200 OK"),
    ],
    ids=["silent head", "dripping head", "dripping breaks", "silent body", "dripping body", "unread body"],
)
def test_who_keeps_it_waiting_is_let_go(
    site: Site, monkeypatch: pytest.MonkeyPatch, first: bytes, then: bytes, said: bytes
) -> None:
    monkeypatch.setattr(module, "UNREAD_TIMEOUT_S", 0.5)
    slow = [site.connection(first) for _ in range(10)]
    began_s = time.monotonic()

    def dripped() -> bool:
        for each in slow:
            with contextlib.suppress(OSError):
                each.sendall(then)
        assert site.answer(b"abc") == "3"
        return site.connections <= 1  # that of the honest one, which has just left

    wait_until(dripped, timeout_s=8, every_s=0.1, what="all slow ones are gone")

    assert time.monotonic() - began_s > 0.4
    assert all(said in all_of(each) for each in slow)
    assert site.left == (["/echo"] * 10 if first == HALF_A_POST else [])


def test_the_clock_runs_only_while_it_is_for_the_client_to_go_on() -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100050\r\n"
    with Site() as site:
        site.wait_s = 1.2  # the application is slow, more than twice as slow as a client may be
        some, much = site.connection(head + b"\r\nx"), site.connection(head + b"\r\n" + b"x" * 100_000)
        polite = site.connection(head + b"Expect: 100-continue\r\n\r\n")

        time.sleep(1.0)  # as long as a slow one may not take
        some.sendall(b"x" * 100_049)
        much.sendall(b"x" * 50)
        assert polite.recv(100).startswith(b"HTTP/1.1 100 Continue")
        polite.sendall(b"x" * 100_050)

        assert {all_of_one(each)[-10:] for each in (some, much, polite)} == {b"\r\n\r\n100050"}


def all_of_one(connection: socket.socket) -> bytes:
    """The next answer; the connection is kept."""
    with connection:
        return connection.recv(65536)


def test_a_body_may_take_as_long_as_it_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_BYTES_PER_S", 100)
    with Site() as site:
        slow = site.connection(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n")
        for _ in range(20):
            slow.sendall(b"x" * 20)
            time.sleep(0.08)  # 250 bytes a second, for longer than a silent one may take

        assert all_of_one(slow).endswith(b"\r\n\r\n400")


def test_an_answer_that_nobody_reads_is_not_kept_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_TIMEOUT_S", 0.5)
    with Site() as site:
        greedy = site.connection(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: site.connections == 1, timeout_s=5, what="it is connected")

        assert len(site.answer(path="/big")) == BIG
        wait_until(lambda: not site.connections, timeout_s=5, what="its connection is broken off")
        greedy.close()


def test_one_address_has_its_share_and_a_trusted_proxy_more() -> None:
    with Site(connections_per_address=3, head_timeout_s=60) as site:
        held = [site.connection() for _ in range(3)]
        wait_until(lambda: site.connections == 3, timeout_s=5, what="they are connected")

        assert b"HTTP/1.1 429 " in all_of(site.connection())

        held.pop().close()
        wait_until(lambda: site.connections == 2, timeout_s=5, what="one has left")
        assert site.answer() == "0"
    with Site(connections_per_address=3, trusted_proxies=("127.0.0.1",)) as site:
        held += [site.connection() for _ in range(5)]
        assert site.answer() == "0"
    for each in held:
        each.close()


def test_health_is_answered_where_a_flood_cannot_come() -> None:
    with Site(most_connections=5, head_timeout_s=60) as site:
        flood = [site.connection(HALF_A_HEAD) for _ in range(5)]
        wait_until(lambda: site.connections == 5, timeout_s=5, what="all places are taken")

        assert b"HTTP/1.1 503 " in all_of(site.connection())
        assert site.answer(path="/healthz", port=site.probe_port) == "well"
        for each in flood:
            each.close()


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("", ""), ("a:b", "a:b"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("fe80::1%eth0", "fe80::/64"),
    ],
)  # fmt: skip
def test_an_address_of_ipv6_is_one_of_a_site(address: str, counted: str) -> None:
    assert counted_as(address) == counted


def test_an_office_behind_one_address_fits_into_its_share() -> None:
    assert HttpSettings().connections_per_address >= TRADERS * (TABS + BROWSER_CONNECTIONS)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"head_timeout_s": 0}, "WATTBOOK_HTTP_HEAD_TIMEOUT_S"),
        ({"connections_per_address": -1}, "WATTBOOK_HTTP_CONNECTIONS_PER_ADDRESS"),
        ({"probe_listen": "nowhere"}, "WATTBOOK_PROBE_LISTEN"),
    ],
)
def test_a_limit_that_cannot_be_is_named(settings: dict[str, Any], named: str) -> None:
    (problem,) = HttpSettings(**settings).http_problems()

    assert problem.startswith(named)
