"""What a channel receives, from the connection's thread to the one that wants it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from typing import Any

import pika

from wattbook.bus.rabbitmq.link import Channel
from wattbook.errors import Unavailable

Raw = tuple[int, pika.BasicProperties, bytes]


class Inbox:
    """A consuming channel and what came over it. Used from one thread, filled by the connection's."""

    def __init__(self, channel: Channel, *, prefetch: int) -> None:
        """Nothing comes before :meth:`consume`. Raises Unavailable."""
        self._channel = channel
        self._arrived: queue.SimpleQueue[Raw | Unavailable] = queue.SimpleQueue()
        self._unacked: dict[int, None] = {}  # tags in order, of what was taken from `_arrived`
        channel.on_closed = self._arrived.put
        channel.ask(lambda raw, done: raw.basic_qos(prefetch_count=prefetch, callback=done))

    def consume(self, name: str, *, exclusive: bool = False) -> None:
        """Begin to take from a queue. Raises Unavailable."""
        self._channel.ask(
            lambda raw, done: self._on_start(
                raw, lambda: raw.basic_consume(name, self._on_message, exclusive=exclusive, callback=done)
            )
        )

    def take(self, timeout_s: float) -> Raw | None:
        """The next that arrived. Raises Unavailable once the channel is gone, after what came before."""
        try:
            found = self._arrived.get(timeout=timeout_s) if timeout_s > 0 else self._arrived.get_nowait()
        except queue.Empty:
            self.ensure_alive()
            return None
        if isinstance(found, Unavailable):
            self._arrived.put(found)  # and stays gone
            raise found
        self._unacked[found[0]] = None
        return found

    def ack(self, tags: Sequence[int]) -> None:
        """Acknowledge, in one go what nothing unacknowledged comes before. Raises Unavailable."""
        mine = sorted(tag for tag in tags if tag in self._unacked)
        for tag in mine:
            del self._unacked[tag]
        oldest_left = next(iter(self._unacked), None)
        together = [tag for tag in mine if oldest_left is None or tag < oldest_left]
        alone = mine[len(together) :]

        def send(raw: Any) -> None:
            if together:
                raw.basic_ack(together[-1], multiple=True)
            for tag in alone:
                raw.basic_ack(tag)

        if mine:
            self._channel.post(send)

    def bury(self, tag: int) -> None:
        """Have the broker make it a dead letter, as it is. Raises Unavailable."""
        del self._unacked[tag]
        self._channel.post(lambda raw: raw.basic_reject(tag, requeue=False))

    def ensure_alive(self) -> None:
        """Raise Unavailable if nothing can come any more."""
        reason = self._channel.closed or self._channel.session.lost
        if reason is not None:
            raise reason

    def close(self) -> None:
        """Take no more; what is not acknowledged goes back."""
        self._channel.close()

    # --- in the connection's thread

    def _on_start(self, raw: Any, start: Callable[[], None]) -> None:
        raw.add_on_cancel_callback(self._on_cancel)
        start()

    def _on_message(self, _raw: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._arrived.put((method.delivery_tag, properties, body))

    def _on_cancel(self, _frame: Any) -> None:
        self._arrived.put(Unavailable("the bus has taken the queue away"))
