"""The client of the provider against real sockets."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import pytest
from pricing_service.clients import MarketData
from pricing_service.domain import NoPrice, Outcome, Price, Slot, Trouble
from wattbook import telemetry
from wattbook.clock import SystemClock

from tests.support.otlp_sink import otlp_sink, recorded

SLOT = Slot((1675681200,), "2023-02-06", "12-13")
BODY = json.dumps(
    {
        "delivery_day": "2023-02-06",
        "delivery_hour": "12-13",
        "value": 100.0,
        "unit": "euro",
        "last_update": "2023-02-06T09:15:45Z",
    }
).encode()


def answer(body: bytes = BODY, *, status: str = "200 OK", head: str = "") -> bytes:
    lines = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{head}\r\n"
    return lines.encode() + body


class Server:
    """Counts requests and answers each as told."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            self.requests.append(connection.recv(65536))
            try:
                self._serve(connection)
            except OSError:
                return


@contextmanager
def asking(url: str, **options: Any) -> Iterator[Callable[[], Outcome]]:
    chosen = {"send_within_s": 2.0, "answer_within_s": 0.6, **options}
    client = MarketData(url=url, clock=SystemClock(), **chosen)

    def ask() -> Outcome:
        told: Queue[Outcome] = Queue()
        client.ask(SLOT, told.put)
        return told.get(timeout=10)

    try:
        yield ask
    finally:
        client.close()


def outcome_of(serve: Callable[[socket.socket], None], **options: Any) -> tuple[Outcome, int]:
    server = Server(serve)
    try:
        with asking(server.url, **options) as ask:
            return ask(), len(server.requests)
    finally:
        server.close()


@pytest.mark.parametrize("base", ["", "/v1", "/v1/"])
def test_the_base_address_is_used_just_as_it_is_given(base: str) -> None:
    server = Server(lambda connection: connection.sendall(answer()))

    with asking(server.url + base) as ask:
        outcome = ask()

    server.close()
    assert outcome == Price("100.0", 1675674945000000)
    path = server.requests[0].split(b" ")[1].decode()
    assert path == f"{base.rstrip('/')}/reference-price?delivery_day=2023-02-06&delivery_hour=12-13"


def test_the_outcome_is_told_within_the_trace_of_the_request() -> None:
    server = Server(lambda connection: connection.sendall(answer()))
    told: Queue[str] = Queue()
    with otlp_sink() as sink, recorded(sink, service="pricing-service"):
        client = MarketData(url=server.url, clock=SystemClock(), send_within_s=2.0, answer_within_s=0.6)
        client.ask(SLOT, lambda _: told.put(telemetry.recorded_traceparent()))
        cause = told.get(timeout=10)
        client.close()
    server.close()

    spans = {span.name: span for span in sink.spans}
    assert cause == f"00-{spans['ask for a price'].trace_id}-{spans['ask for a price'].span_id}-01"
    assert spans["GET"].parent_id == spans["ask for a price"].span_id


def paths_asked(given: str, has_prices: Callable[[int, str], bool], *, times: int) -> list[str]:
    """What is asked under ``given`` of a server that has a price for some requests only."""
    number = itertools.count()

    def serve(connection: socket.socket) -> None:
        path = server.requests[-1].split(b" ")[1].decode().partition("?")[0]
        has_price = has_prices(next(number), path)
        connection.sendall(answer() if has_price else answer(b"", status="404 Not Found"))

    server = Server(serve)
    with asking(server.url + given) as ask:
        for _ in range(times):
            ask()
    server.close()
    return [request.split(b" ")[1].decode().partition("/reference-price")[0] for request in server.requests]


@pytest.mark.parametrize(("given", "has"), [("", "/v1"), ("/v1", ""), ("/v1/", "")])
def test_an_address_without_the_version_finds_a_server_with_it_and_the_other_way_round(
    given: str, has: str
) -> None:
    asked = paths_asked(given, lambda _, path: path == f"{has}/reference-price", times=7)

    assert asked == [given.rstrip("/")] * 3 + [has] * 4


def test_an_address_that_had_a_price_is_kept_whatever_has_none() -> None:
    assert paths_asked("/v1", lambda number, _: number == 2, times=12) == ["/v1"] * 12


def test_404_is_no_price_yet() -> None:
    assert outcome_of(lambda connection: connection.sendall(answer(b"", status="404 Not Found"))) == (
        NoPrice(),
        1,
    )


@pytest.mark.parametrize(
    ("head", "expected_s"),
    [
        ("Retry-After: 17\r\n", 17.0),
        (
            "Date: Mon, 06 Feb 2023 09:00:00 GMT\r\nRetry-After: Mon, 06 Feb 2023 09:02:00 GMT\r\n",
            120.0,
        ),
        ("Retry-After: soon\r\n", None),
        ("Retry-After: -5\r\n", None),
        ("Retry-After: 99999999999999\r\n", None),
        ("Date: Mon, 06 Feb 2023 09:00:00 GMT\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", 86_400.0),
        (
            "Date: Mon, 06 Feb 2023 09:00:00 GMT\r\nRetry-After: Fri, 31 Dec 99999999999 23:59:59 GMT\r\n",
            None,
        ),
        ("", None),
    ],
)
def test_429_says_when_to_come_again(head: str, expected_s: float | None) -> None:
    status = "429 Too Many Requests"
    outcome, _ = outcome_of(lambda connection: connection.sendall(answer(b"", status=status, head=head)))

    assert isinstance(outcome, Trouble)
    assert (outcome.slow_down, outcome.retry_after_s) == (True, expected_s)


def test_a_redirect_is_not_followed_since_that_would_be_another_request() -> None:
    outcome, requests = outcome_of(
        lambda connection: connection.sendall(answer(b"", status="302 Found", head="Location: /v1\r\n"))
    )

    assert isinstance(outcome, Trouble)
    assert requests == 1


@pytest.mark.parametrize(
    "serve",
    [
        lambda connection: None,
        lambda connection: connection.sendall(answer()[:-30]),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
        lambda connection: connection.sendall(answer(b"x" * 200_000)),
    ],
    ids=["hangs up", "breaks off", "no HTTP", "far too long"],
)
def test_a_broken_answer_is_trouble_and_is_not_asked_for_again(serve: Any) -> None:
    outcome, requests = outcome_of(serve)

    assert isinstance(outcome, Trouble)
    assert not outcome.open_end
    assert requests == 1


def wait_for_hang_up(connection: socket.socket) -> None:
    connection.recv(1)


def trickle(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.1)  # slower than its deadline, faster than a timeout between two pieces


@pytest.mark.parametrize("serve", [wait_for_hang_up, trickle], ids=["silent", "trickling"])
def test_an_answer_that_does_not_come_in_time_may_still_be_counted_later(serve: Any) -> None:
    began_s = time.monotonic()

    outcome, requests = outcome_of(serve)

    assert isinstance(outcome, Trouble)
    assert outcome.open_end
    assert requests == 1
    assert time.monotonic() - began_s < 5


def test_a_provider_that_is_not_there_was_not_reached() -> None:
    server = Server(lambda connection: None)
    server.close()

    with asking(server.url) as ask:
        outcome = ask()

    assert isinstance(outcome, Trouble)
    assert not outcome.open_end


def test_a_request_that_was_held_up_is_not_sent_late() -> None:
    outcome, requests = outcome_of(lambda connection: connection.sendall(answer()), send_within_s=-1.0)

    assert isinstance(outcome, Trouble)
    assert outcome.unsent
    assert requests == 0
