"""What Kubernetes puts between callers and pods, on loopback: endpoints by readiness, DNS, and Services.

A pod is in its Service's endpoints from the first good readiness probe on, until some in a row are bad, or
it is being deleted. A headless Service is a name that DNS answers with the endpoints; another one is an
address where each new connection goes to one of them, at random, as kube-proxy does. Bytes pass through
unread: a connection that a pod breaks off is broken off for its caller, and nothing is tried again.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from wattbook import probe

PROBE_TIMEOUT_S = 3.0
Endpoints = Callable[[], Sequence[str]]
"""The addresses of the pods that take connections now."""


class Readiness:
    """Probes one pod, in a thread of its own, until stopped."""

    def __init__(self, address: str, *, every_s: float, failures_allowed: int) -> None:
        self._address = address
        self._every_s = every_s
        self._failures_allowed = failures_allowed
        self._stopped = threading.Event()
        self._is_well = False
        self.lapses = 0  # how often it was out of the endpoints though nobody deleted it
        threading.Thread(target=self._run, name=f"probe {address}", daemon=True).start()

    @property
    def is_ready(self) -> bool:
        return self._is_well and not self._stopped.is_set()

    def stop(self) -> None:
        """The pod is being deleted, or gone: it is in no endpoints any more."""
        self._stopped.set()

    def _run(self) -> None:
        failed = 0
        while not self._stopped.wait(self._every_s):
            is_well = probe.is_well(self._address, timeout_s=PROBE_TIMEOUT_S)
            failed = 0 if is_well else failed + 1
            if is_well or failed >= self._failures_allowed:
                self.lapses += self._is_well and not is_well
                self._is_well = is_well


class Names:
    """DNS: each name is what its endpoints are at this moment."""

    def __init__(self, endpoints: dict[str, Endpoints], *, address: str, port: int) -> None:
        self._endpoints = endpoints
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self.address = f"{address}:{port}"
        threading.Thread(target=self._run, name="dns", daemon=True).start()

    def target(self, name: str) -> str:
        """``service:port`` as gRPC is told it, with the server to ask."""
        return f"dns://{self.address}/{name}"

    def close(self) -> None:
        self._socket.close()

    def _run(self) -> None:
        with suppress(OSError):  # closed
            while True:
                question, sender = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(question), sender)

    def _answer(self, question: bytes) -> bytes:
        """RFC 1035, 4.1: the question again, then an A record for each address."""
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode())
            at += 1 + length
        kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
        # A resolver may append the machine's search domains.
        names = (".".join(labels[:count]) for count in range(len(labels), 0, -1))
        found = next((self._endpoints[name]() for name in names if name in self._endpoints), ())
        addresses = list(found) if kind == 1 else []
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(each) for each in addresses
        )
        counts = struct.pack(">HHHH", 1, len(addresses), 0, 0)
        return question[:2] + b"\x85\x80" + counts + question[12 : at + 5] + records


class Services:
    """TCP balancers in one event loop, in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._chance = random.Random(7)
        self._running: set[asyncio.Task[None]] = set()
        threading.Thread(target=self._loop.run_forever, name="services", daemon=True).start()

    def open(self, address: str, port: int, endpoints: Endpoints) -> None:
        """Take connections at ``address`` for the pods' same ``port``."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connect(reader, writer, endpoints, port)

        opening = asyncio.start_server(serve, address, port, backlog=1024)
        asyncio.run_coroutine_threadsafe(opening, self._loop).result(10)

    def close(self) -> None:
        async def end() -> None:
            running = asyncio.all_tasks() - {asyncio.current_task()}
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, endpoints: Endpoints, port: int
    ) -> None:
        addresses = endpoints()
        try:
            if not addresses:
                raise ConnectionRefusedError
            their_reader, their_writer = await asyncio.open_connection(self._chance.choice(addresses), port)
        except OSError:
            writer.transport.abort()
            return
        ways = (_pipe(reader, their_writer), _pipe(their_reader, writer))
        try:
            await asyncio.gather(*ways)
        except asyncio.CancelledError:
            return  # the test is over
        except OSError:  # one end was broken off: so is the other
            for each in (writer, their_writer):
                each.transport.abort()
        finally:
            for each in (writer, their_writer):
                each.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof() and not writer.transport.is_closing():
        writer.write_eof()
