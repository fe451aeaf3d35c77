"""Five hundred browsers with a live page open: how soon the last of them has an update."""

from __future__ import annotations

import selectors
import socket
import statistics
import time
from collections.abc import Sequence

from bench.context import Context, Row, at_most, plain
from tests.support.live_desk import LiveDesk
from tests.support.pages import STREAM_PATH, TOTAL_SLOTS, PageReader

STREAMS = 500
GOAL_MS = 250
# All are of one user and one address.
MANY = {"WATTBOOK_HTTP_CONNECTIONS_PER_ADDRESS": "3000", "WATTBOOK_STREAMS_PER_USER": "2000"}
TRADERS = tuple(f"trader_{number + 1}" for number in range(6))
DAY = "2026-03-10"
CLOCK = ("--clock-start", f"{DAY}T08:01:00+01:00")
TRADE = {
    "price": 20.5, "quantity": 12.3, "direction": "buy", "delivery_day": DAY, "delivery_hour": "20-21",
    "execution_time": f"{DAY}T06:13:45Z",
}  # fmt: skip
PAUSE_S = 0.3
LONGEST_S = 10.0
_CHANGED = f'"{TOTAL_SLOTS["trades"]}"'.encode()


def run(context: Context) -> list[Row]:
    updates = max(3, int(context.sizes.seconds * 2))
    with context.live(*CLOCK, **MANY) as desk:
        desk.emit(200)
        with PageReader(desk.pages_url, "admin", desk.admin_password) as reader:
            cookie = reader.cookie
        one_page = measured(desk, cookie, TRADERS[:1], updates)
        all_pages = measured(desk, cookie, TRADERS, updates)
    return [
        at_most(
            f"{STREAMS} streams of one page, one trade: until the last has it, the longest of {updates}",
            max(one_page), GOAL_MS, "ms", decimals=0,
        ),
        plain("  p50", statistics.median(one_page), "ms"),
        at_most(
            f"{STREAMS} streams of {len(TRADERS)} pages, all changing at once: the longest of {updates}",
            max(all_pages), GOAL_MS, "ms", decimals=0,
        ),
        plain("  p50", statistics.median(all_pages), "ms"),
    ]  # fmt: skip


def measured(desk: LiveDesk, cookie: str, traders: Sequence[str], updates: int) -> list[float]:
    """Milliseconds from the order to trade until all streams had what follows from it, each time."""
    browsers = Browsers(desk, cookie, traders)
    try:
        browsers.listen(1.0)
        waits_ms = []
        for number in range(updates):
            browsers.forget()
            began = time.perf_counter()
            if len(traders) == 1:
                trade = {**TRADE, "id": f"streams_{number}", "trader_id": traders[0]}
                desk.exchange("POST", "frame", json={"trade_confirmation": trade})
            else:  # enough of them that each trader has one for the day
                desk.emit(120)
            browsers.wait_changed()
            waits_ms.append((browsers.last_s - began) * 1000)
            browsers.listen(PAUSE_S)
        return waits_ms
    finally:
        browsers.close()


class Browsers:
    """Open streams, the same number of each trader's page."""

    def __init__(self, desk: LiveDesk, cookie: str, traders: Sequence[str]) -> None:
        self.last_s = 0.0
        self._selector = selectors.DefaultSelector()
        self._changed: set[int] = set()
        self._tails: dict[int, bytes] = {}
        for number in range(STREAMS):
            path = STREAM_PATH.format(trader_id=traders[number % len(traders)], day=DAY)
            connection = socket.create_connection(("127.0.0.1", desk.port + 1))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ)
            self._tails[connection.fileno()] = b""

    def forget(self) -> None:
        self._changed.clear()

    def listen(self, seconds: float) -> None:
        """Read for so long, whatever comes."""
        until_s = time.perf_counter() + seconds
        while (left_s := until_s - time.perf_counter()) > 0:
            self._read(left_s)

    def wait_changed(self) -> None:
        """Until each of them had a change of the count of trades."""
        until_s = time.perf_counter() + LONGEST_S
        while len(self._changed) < STREAMS:
            if time.perf_counter() > until_s:
                raise RuntimeError(f"only {len(self._changed)} of {STREAMS} streams had the change")
            self._read(0.05)

    def _read(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            data = connection.recv(1 << 20)
            if not data:
                raise RuntimeError("a stream ended")
            text = self._tails[key.fd] + data
            if _CHANGED in text:
                self._changed.add(key.fd)
                self.last_s = time.perf_counter()
                text = text[text.rindex(_CHANGED) + len(_CHANGED) :]
            self._tails[key.fd] = text[-len(_CHANGED) :]

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
