"""A connection that is opened when it is needed and again after it was lost, and channels to ask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pika import exceptions

from wattbook.bus.rabbitmq.address import Address
from wattbook.bus.rabbitmq.session import Session
from wattbook.errors import Unavailable

ANSWER_S = 15.0  # a queue's leader may just be elected
ACCESS_REFUSED, NOT_FOUND, LOCKED, DIFFERENT = 403, 404, 405, 406


class ChannelClosed(Unavailable):
    """The server ended the channel; ``reply_code`` says why (403, 404, 405, 406, …), 0 if we did."""

    def __init__(self, message: str, reply_code: int) -> None:
        """Keep both."""
        super().__init__(message)
        self.reply_code = reply_code


class Link:
    """The place of one connection; any thread may use it."""

    def __init__(self, address: Address, name: str) -> None:
        """Nothing is connected yet."""
        self._address = address
        self._name = name
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._closed = False

    def session(self) -> Session:
        """The connection, opened if there is none.

        Raises:
            Unavailable: it cannot be opened now, or the bus is closed. Callers try again, ever later.
        """
        with self._lock:
            self._ensure_open()
            if self._session is None or self._session.lost is not None:
                self._session = Session(self._address, self._name)
                self._session.open()
            return self._session

    def channel(self) -> Channel:
        """A new channel. Raises Unavailable."""
        return Channel(self.session())

    def drop(self, session: Session) -> None:
        """Let go of a connection that does not answer as it should."""
        session.close()

    def close(self) -> None:
        """Let go of it, also of one that is just being opened."""
        self._closed = True
        session = self._session
        if session is not None:
            session.close()

    def _ensure_open(self) -> None:
        if self._closed:
            raise Unavailable("the bus is closed")


class _Answer:
    """What one request is waiting for."""

    def __init__(self) -> None:
        self.given = threading.Event()
        self.value: Any = None
        self.error: Unavailable | None = None

    def give(self, value: Any) -> None:
        self.value = value
        self.given.set()

    def fail(self, error: Unavailable) -> None:
        if not self.given.is_set():
            self.error = error
            self.given.set()


class Channel:
    """A channel whose requests wait for their answers; used from one thread."""

    def __init__(self, session: Session) -> None:
        """Open it.

        Raises:
            Unavailable: the connection is lost or takes no more channels.
        """
        self.session = session
        self.closed: ChannelClosed | None = None
        self.on_closed: Callable[[ChannelClosed], None] = lambda _reason: None
        self._raw: Any = None
        self._answer = _Answer()
        self._request(lambda answer: session.new_channel(lambda raw: self._on_open(raw, answer)))

    def ask(self, request: Callable[[Any, Callable[[Any], None]], None]) -> Any:
        """Make a request of pika's channel with a callback; what that was called with.

        Raises:
            ChannelClosed: the server refuses it; the channel is of no more use.
            Unavailable: the connection is lost, or no answer came, and then it is let go of: the server may
                have done what was asked, and would send to a consumer that nobody knows of.
        """
        return self._request(lambda answer: request(self._raw, answer.give))

    def post(self, work: Callable[[Any], None]) -> None:
        """Have something done with pika's channel that has no answer. Raises Unavailable like :meth:`ask`."""
        if self.closed is not None:
            raise self.closed
        self.session.run(lambda: self._on_post(work))

    def close(self) -> None:
        """Close it: what it holds unacknowledged goes back. Never raises."""
        if self.closed is not None:
            return
        answer, told = _Answer(), self.on_closed

        def closed(reason: ChannelClosed) -> None:
            told(reason)
            answer.give(None)

        self.on_closed = closed
        try:
            self.session.run(lambda: self._raw.close() if self._raw.is_open else None)
        except Unavailable:
            return
        answer.given.wait(ANSWER_S)

    def _request(self, request: Callable[[_Answer], None]) -> Any:
        answer = self._answer = _Answer()
        left_s = ANSWER_S

        def start() -> None:
            if self.closed is not None:
                answer.fail(self.closed)
                return
            try:
                request(answer)
            except Unavailable as error:
                answer.fail(error)
            except exceptions.AMQPError as error:
                answer.fail(Unavailable(f"the bus cannot be asked: {type(error).__name__}"))

        self.session.run(start)
        while not answer.given.wait(min(left_s, 1.0)):
            left_s -= 1.0
            if self.session.lost is not None:
                raise self.session.lost
            if left_s <= 0:
                self.session.close()
                raise Unavailable("the bus does not answer in time")
        if answer.error is not None:
            raise answer.error
        return answer.value

    # --- in the connection's thread

    def _on_open(self, raw: Any, answer: _Answer) -> None:
        self._raw = raw
        raw.add_on_close_callback(self._on_close)
        answer.give(None)

    def _on_post(self, work: Callable[[Any], None]) -> None:
        if self.closed is None and self._raw.is_open:
            work(self._raw)

    def _on_close(self, _raw: Any, reason: BaseException) -> None:
        code, text = 0, "the bus connection is lost"
        if isinstance(reason, exceptions.ChannelClosed):
            code, text = reason.reply_code, reason.reply_text
        by_us = isinstance(reason, exceptions.ChannelClosedByClient)
        self.closed = ChannelClosed(text, 0 if by_us else code)
        self._answer.fail(self.closed)
        self.on_closed(self.closed)
