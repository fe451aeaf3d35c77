"""Live streams: one thread writes what changed to every browser that looks, whatever their number.

A stream is asked for like any page, on one of gunicorn's threads, which checks who asks. Then its socket is
taken out of gunicorn's hands (the descriptor is replaced by that of a closed pair, so that gunicorn finds
a connection that has ended) and given to this thread. What a topic's browsers get is rendered once a
change and written to all of them; a browser that does not read is let go, and comes back by itself.
"""

from __future__ import annotations

import json
import logging
import selectors
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from wattbook import telemetry
from wattbook.clock import Clock, to_epoch_us

from report_service.api.slots import changes

_log = logging.getLogger(__name__)

BEAT_S = 10.0
LOOK_EVERY_S = 1.0
LEAST_BETWEEN_S = 0.01  # between two events of one topic
REST_PER_WORK = 1.0  # after a round, before the next: half of the time is left to everybody else
MOST_STREAMS = 2000
MOST_UNREAD_BYTES = 256 * 1024
VERSIONS_KEPT = 8
MOST_CAUSES = 64  # traces that one event goes on with
_US_PER_S = 1_000_000
_AGAIN = b"event: again\ndata: {}\n\n"


def ALWAYS() -> bool:  # noqa: N802  # a constant: what nothing ends but its time
    """True."""
    return True


@dataclass(frozen=True)
class Snapshot:
    """All slots of a topic under the version of their content."""

    version: str
    slots: dict[str, str]


@dataclass(frozen=True, eq=False)
class Topic:
    """What a stream is about: ``is_about`` names reports and days. Topics with the same ``key`` are one."""

    key: Hashable
    is_about: frozenset[Hashable]
    render: Callable[[], Snapshot]

    @cached_property
    def id(self) -> str:
        """What its events are marked with."""
        return blake2b(repr(self.key).encode(), digest_size=6).hexdigest()


@dataclass(eq=False)
class _Listener:
    connection: socket.socket
    until_s: int
    goes_on: Callable[[], bool]
    unread: bytearray = field(default_factory=bytearray)
    topics: set[_Live] = field(default_factory=set)
    is_served: bool = False


@dataclass(eq=False)
class _Live:
    """A topic that somebody listens to."""

    topic: Topic
    listeners: set[_Listener] = field(default_factory=set)
    versions: OrderedDict[str, Snapshot] = field(default_factory=OrderedDict)
    last: Snapshot | None = None
    due_s: float = float("-inf")
    is_due: bool = True
    causes: list[str] = field(default_factory=list)

    def look(self) -> Snapshot:
        """The topic as it stands, remembered."""
        found = self.topic.render()
        if self.last is None or self.last.version != found.version:
            self.last = self.versions[found.version] = found
            while len(self.versions) > VERSIONS_KEPT:
                self.versions.popitem(last=False)
        return self.last


def event(topic: Topic, before: Snapshot | None, after: Snapshot) -> bytes:
    """The change from one version to another as it is sent; all slots where it is not known from which.

    Its id is ``topic.version``: a stream carries several topics, each with a version of its own.
    """
    changed = changes(before.slots, after.slots) if before else after.slots
    text = json.dumps(changed, separators=(",", ":"), ensure_ascii=False)
    return f"id: {topic.id}.{after.version}\nevent: change\ndata: {text}\n\n".encode()


class Hub:
    """The thread and its listeners. Only :meth:`add`, :meth:`changed` and the ends are for other threads."""

    def __init__(self, clock: Clock, desk: Clock | None = None) -> None:
        """Listen to nobody until :meth:`start`; ``desk`` is whose time browsers are told."""
        self._clock = clock
        self._desk = desk or clock
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._lock = threading.Lock()
        self._arrived: list[tuple[_Listener, Sequence[tuple[Topic, str]], bytes]] = []
        self._changed: set[Hashable] = set()
        self._causes: list[str] = []
        self._live: dict[Hashable, _Live] = {}
        self._listeners: set[_Listener] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._beat_due_s = 0.0
        self._look_due_s = 0.0
        self._rest_until_s = 0.0
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether no further stream is taken."""
        return self.count >= MOST_STREAMS or not self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread.start()

    def stop(self) -> None:
        """Let everybody go; browsers come back by themselves."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(5)

    def add(
        self, connection: socket.socket, topics: Sequence[tuple[Topic, str]], *, head: bytes, until_s: int,
        goes_on: Callable[[], bool] = ALWAYS,
    ) -> None:  # fmt: skip
        """Serve a connection that has asked for topics, each with the version of it that is known there.

        ``head`` is written first. It ends at ``until_s`` (UTC), or within a second once its session no longer
        ``goes_on``.
        """
        connection.setblocking(False)
        with self._lock:
            self.count += 1
            self._arrived.append((_Listener(connection, until_s, goes_on), topics, head))
        self._wake()

    def time_event(self, name: str, **more: object) -> bytes:
        """An event that tells the desk's time, in ms since 1970."""
        body = json.dumps({"now": to_epoch_us(self._desk.now()) // 1000, **more}, separators=(",", ":"))
        return f"event: {name}\ndata: {body}\n\n".encode()

    def changed(self, what: Iterable[Hashable]) -> None:
        """These reports or days may have changed. Quick, from any thread."""
        if not self.count:
            return
        with self._lock:
            self._changed.update(what)
            if len(self._causes) < MOST_CAUSES and (cause := telemetry.recorded_traceparent()):
                self._causes.append(cause)
        self._wake()

    def _wake(self) -> None:
        try:
            self._waker.send(b"x")
        except BlockingIOError:
            pass  # enough wakes are under way
        except OSError:
            _log.debug("the streams have ended")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception:
                _log.exception("a turn of the streams failed")
                self._stopping.wait(0.5)
        for listener in list(self._listeners):
            self._drop(listener)
        self._selector.close()

    def _turn(self) -> None:
        for key, mask in self._selector.select(self._wait_s()):
            if key.data is None:
                self._woken.recv(4096)
            elif mask & selectors.EVENT_WRITE:
                self._write(key.data, b"")
            else:
                self._heed(key.data)
        with self._lock:
            arrived, self._arrived = self._arrived, []
            changed, self._changed = self._changed, set()
            causes, self._causes = self._causes, []
        now_s = self._clock.monotonic_s()
        for live in self._live.values():
            if not changed.isdisjoint(live.topic.is_about):
                live.is_due = True
                live.causes += causes
        if now_s >= self._look_due_s:  # what no change announces: the state of the connections
            self._look_due_s = now_s + LOOK_EVERY_S
            for live in self._live.values():
                live.is_due = True
            self._end_sessions()
        for each in arrived:
            self._enter(*each)
        self._tell(now_s)
        if now_s >= self._beat_due_s:
            self._beat_due_s = now_s + BEAT_S
            self._beat()

    def _wait_s(self) -> float:
        due = [max(live.due_s, self._rest_until_s) for live in self._live.values() if live.is_due]
        next_s = min([self._look_due_s, *due])
        return min(max(next_s - self._clock.monotonic_s(), 0.0), LOOK_EVERY_S)

    def _enter(self, listener: _Listener, topics: Sequence[tuple[Topic, str]], head: bytes) -> None:
        listener.is_served = True
        self._listeners.add(listener)
        self._selector.register(listener.connection, selectors.EVENT_READ, listener)
        for topic, known in topics:
            live = self._live.get(topic.key)
            if live is None:
                live = self._live[topic.key] = _Live(topic)
            self._publish(live)  # so that from here on all listeners hear the same
            listener.topics.add(live)
            live.listeners.add(listener)
            version = known.rpartition(".")[2]
            if live.last is not None and live.last.version != version:
                head += event(live.topic, live.versions.get(version), live.last)
        self._write(listener, head)

    def _tell(self, now_s: float) -> None:
        """Publish what is due, all topics in one round."""
        if now_s < self._rest_until_s:
            return
        for live in list(self._live.values()):
            if live.is_due and now_s >= live.due_s:
                live.is_due = False
                causes, live.causes = live.causes[:MOST_CAUSES], []
                with telemetry.joined("send event", causes, kind="producer") if causes else nullcontext():
                    is_published = self._publish(live)
                if is_published:
                    live.due_s = self._clock.monotonic_s() + LEAST_BETWEEN_S
        done_s = self._clock.monotonic_s()
        self._rest_until_s = done_s + (done_s - now_s) * REST_PER_WORK

    def _publish(self, live: _Live) -> bool:
        before, found = live.last, live.look()
        if before is None or before is found:
            return False
        text = event(live.topic, before, found)
        telemetry.note({"wattbook.event.id": found.version, "wattbook.event.listeners": len(live.listeners)})
        for listener in list(live.listeners):
            self._write(listener, text)
        return True

    def _beat(self) -> None:
        text = self.time_event("beat")
        for listener in list(self._listeners):
            self._write(listener, text)

    def _end_sessions(self) -> None:
        """A browser that comes again is asked for its session again."""
        now_s = to_epoch_us(self._clock.now()) // _US_PER_S
        for listener in [each for each in self._listeners if now_s >= each.until_s or not each.goes_on()]:
            self._write(listener, _AGAIN)
            self._drop(listener)

    def _write(self, listener: _Listener, text: bytes) -> None:
        if not listener.is_served:
            return
        waiting = bool(listener.unread)
        listener.unread += text
        try:
            sent = listener.connection.send(listener.unread)
            del listener.unread[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(listener)
            return
        if len(listener.unread) > MOST_UNREAD_BYTES:
            self._drop(listener)
        elif bool(listener.unread) != waiting:
            writes = selectors.EVENT_WRITE if listener.unread else 0
            self._selector.modify(listener.connection, selectors.EVENT_READ | writes, listener)

    def _heed(self, listener: _Listener) -> None:
        try:
            is_gone = not listener.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            is_gone = True
        if is_gone:
            self._drop(listener)

    def _drop(self, listener: _Listener) -> None:
        if not listener.is_served:
            return
        listener.is_served = False
        self._listeners.discard(listener)
        self._selector.unregister(listener.connection)
        listener.connection.close()
        for live in listener.topics:
            live.listeners.discard(listener)
            if not live.listeners:
                self._live.pop(live.topic.key, None)
        with self._lock:
            self.count -= 1
