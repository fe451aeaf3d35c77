"""The pages behind their real HTTP server: slow and greedy browsers, streams, and the stop."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Self

import httpx
import pytest
from report_service.api.streams import Hub
from wattbook.clock import SystemClock
from wattbook.web.server import Server
from wattbook.web.settings import HttpSettings, listen

from tests.support.waiting import wait_until
from tests.unit.report_service.fakes import NOW, booking
from tests.unit.report_service.test_pages import Pages, token_of

LIVE = "/traders/trader_1/days/2023-02-28"
MOST_OF_ONE_USER = 4
HALF_A_POST = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nusername=a"
HALF_A_HEAD = b"GET /sign-in HTTP/1.1\r\nHost: x\r\nX-A"


class PagesClock(SystemClock):
    """It is always the same time of day, and time passes all the same."""

    def now(self) -> datetime:
        return NOW


class Served(Pages):
    """The pages of the unit tests at a port."""

    def __init__(self) -> None:
        super().__init__(hub=Hub(PagesClock(), most_of_one_user=MOST_OF_ONE_USER))
        listening, probing = listen("127.0.0.1:0"), listen("127.0.0.1:0")
        self.port, self.probe_port = (each.getsockname()[1] for each in (listening, probing))
        self.stopping = threading.Event()
        server = Server(
            self.front,
            settings=HttpSettings(),
            stopping=self.stopping,
            probes=self.front.health,
            end_streams=self.site.hub.close,
            has_lifespan=False,
        )
        self._thread = threading.Thread(
            target=server.serve_on, args=([listening],), kwargs={"probing": probing}
        )

    def __enter__(self) -> Self:
        self.site.hub.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.site.hub.stop()
        self.front.close()

    def stop(self) -> None:
        self.stopping.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @contextlib.contextmanager
    def browser(self, name: str = "ana") -> Iterator[httpx.Client]:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10) as browser:
            form = token_of(browser.get("/sign-in"))  # type: ignore[arg-type]
            form |= {"username": name, "password": self.gateway.password}
            assert browser.post("/sign-in", data=form).status_code == 303
            yield browser

    def connection(self, data: bytes) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        made.sendall(data)
        return made

    def stream(self, browser: httpx.Client, method: str = "GET") -> socket.socket:
        """A stream of a browser, on a connection of its own."""
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        return self.connection(
            f"{method} {LIVE}/stream HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode()
        )


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as made:
        yield made


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    text = b""
    while wanted not in text:
        got = connection.recv(65536)
        assert got, text
        text += got
    return text


def test_who_sends_slowly_holds_nobody_up(served: Served) -> None:
    """Eight threads there are: once as many half-sent forms were enough to stop everything."""
    slow = [served.connection(half) for half in (HALF_A_POST, HALF_A_HEAD) for _ in range(10)]

    with served.browser() as browser:
        assert browser.get(LIVE).status_code == 200
        assert browser.get("/healthz").json() == {"status": "ok"}
        assert httpx.get(f"http://127.0.0.1:{served.probe_port}/readyz", trust_env=False).status_code == 200
    for each in slow:
        each.close()


def test_a_port_for_probes_tells_of_health_only(served: Served) -> None:
    assert httpx.get(f"http://127.0.0.1:{served.probe_port}/sign-in", trust_env=False).status_code == 404


def test_a_stream_tells_what_changes_and_leaves_no_trace(served: Served) -> None:
    with served.browser() as browser:
        stream = served.stream(browser)
        assert b"retry: 1000\n\n" in read_until(stream, b"event: change")

        served.model.apply([booking(5, hour=15)])
        served.site.hub.changed(
            each for live in served.site.hub._live.values() for each in live.topic.is_about
        )

        assert b'"h15.trades"' in read_until(stream, b"event: change")
        stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")  # nobody answers it, nor waits to
        stream.close()
        wait_until(lambda: served.site.hub.count == 0, timeout_s=10, what="its place is free")
        head = served.stream(browser, "HEAD")
        assert read_until(head, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert served.site.hub.count == 0
        head.close()


def test_one_user_opens_a_share_of_the_streams(served: Served) -> None:
    with served.browser("ana") as ana, served.browser("tim") as tim:
        held = [served.stream(ana) for _ in range(MOST_OF_ONE_USER)]
        for each in held:
            read_until(each, b"event: change")

        assert ana.get(f"{LIVE}/stream").status_code == 429
        read_until(served.stream(tim), b"event: change")
        for each in held:
            each.close()


def test_a_users_streams_can_be_ended(served: Served) -> None:
    with served.browser() as browser:
        stream = served.stream(browser)
        read_until(stream, b"event: change")

        served.site.hub.end(user="ana")

        assert read_until(stream, b"0\r\n\r\n").endswith(b"event: again\ndata: {}\n\n\r\n0\r\n\r\n")
        assert stream.recv(1) == b""


def test_the_stop_waits_for_no_stream(served: Served) -> None:
    with served.browser() as browser:
        stream = served.stream(browser)
        read_until(stream, b"event: change")
        began_s = time.monotonic()

        served.stop()

        assert time.monotonic() - began_s < 5
        assert read_until(stream, b"0\r\n\r\n")
