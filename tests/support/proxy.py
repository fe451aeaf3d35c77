"""A TCP proxy that a test can slow down, silence and cut, as a bad network would."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Proxy:
    """Stands before ``127.0.0.1:target``. What the server says can be late or held back; all can be cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._speaking = threading.Event()
        self._speaking.set()
        self._heard = threading.Event()
        self._late_s = 0.0
        self._hurrying = threading.Event()
        self._hurrying.set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def silence(self) -> None:
        """Hold back, from now on, what the server says."""
        self._heard.clear()
        self._speaking.clear()

    @contextlib.contextmanager
    def slow(self, *, by_s: float) -> Iterator[None]:
        """For the block everything that the server says comes so much later, one thing after another."""
        self._late_s = by_s
        self._hurrying.clear()
        try:
            yield
        finally:
            self._hurrying.set()

    def speak(self) -> None:
        """Pass on what was held back, and what comes."""
        self._speaking.set()

    def wait_heard(self, timeout_s: float = 10.0) -> None:
        """Until the server has said something that was held back."""
        assert self._heard.wait(timeout_s), "the server said nothing"

    def cut(self) -> None:
        """Break every connection; new ones work."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._speaking.set()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the server is away, and may come back
                client.close()
                continue
            self._pairs.append((client, server))
            for args in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=args, name="proxy", daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_server and not self._speaking.is_set():
                    self._heard.set()
                    self._speaking.wait()
                if from_server and not self._hurrying.is_set():
                    self._hurrying.wait(self._late_s)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def before(target: int) -> Iterator[Proxy]:
    """A proxy for the block."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
