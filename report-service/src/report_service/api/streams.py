"""Live streams: what changed is rendered once, in one thread, and written to every browser that looks.

The thread renders what is due and says what is to be written; the event loop, which holds the connections,
writes it and tells the thread when it is through, so that neither runs ahead of the other. A browser that
does not read is let go, and comes back by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from wattbook import telemetry
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import TooManyRequests, Unavailable

from report_service.api.slots import changes

_log = logging.getLogger(__name__)

BEAT_S = 10.0
LOOK_EVERY_S = 1.0
LEAST_BETWEEN_S = 0.01  # between two events of one topic
REST_PER_WORK = 1.0  # after a round, before the next: half of the time is left to everybody else
MOST_STREAMS = 2000
MOST_OF_ONE_USER = 60  # six windows of ten tabs
MOST_UNREAD_BYTES = 256 * 1024
MOST_WRITING_S = 5.0
VERSIONS_KEPT = 8
MOST_CAUSES = 64  # traces that one event goes on with
RETRY = b"retry: 1000\n\n"
_US_PER_S = 1_000_000
AGAIN = b"event: again\ndata: {}\n\n"


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
class Stream:
    """A browser's stream: whose it is, what it is about (each topic and the version that is known there).

    It has its place in the hub from :meth:`Hub.reserve` on, and gives it back with :meth:`leave`. ``head`` is
    written first. It ends at ``until_s`` (UTC), or within a second once its session no longer ``goes_on``.
    """

    hub: Hub
    topics: Sequence[tuple[Topic, str]]
    user: str
    until_s: int
    goes_on: Callable[[], bool]
    head: bytes
    is_ended: bool = False
    _transport: asyncio.WriteTransport | None = None

    def begin(self, transport: asyncio.WriteTransport) -> None:
        """Write to ``transport`` from now on; on the event loop, once the head is written."""
        self._transport = transport
        if self.is_ended:
            self.finish()
        else:
            self.hub.begin(self)

    def write(self, chunk: bytes) -> None:
        """Send on; on the event loop."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(chunk)
        if transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            transport.abort()

    def finish(self, words: bytes = AGAIN) -> None:
        """End it; ``AGAIN`` lets its browser come back at once and be asked who it is. On the event loop."""
        self.is_ended = True
        if self._transport is not None and not self._transport.is_closing():
            self.write((chunk_of(words) if words else b"") + b"0\r\n\r\n")
            self._transport.close()

    def leave(self) -> None:
        """Give the place back."""
        self.hub.leave(self)


@dataclass(eq=False)
class _Live:
    """A topic that somebody listens to."""

    topic: Topic
    listeners: set[Stream] = field(default_factory=set)
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


def chunk_of(text: bytes) -> bytes:
    """A piece of an answer whose length is not known (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(text), text)


class Hub:
    """The thread and the streams. Topics and listeners are the thread's, connections the event loop's."""

    def __init__(
        self, clock: Clock, desk: Clock | None = None, *, most_of_one_user: int = MOST_OF_ONE_USER
    ) -> None:
        """Render nothing until :meth:`start`; ``desk`` is whose time browsers are told."""
        self._clock = clock
        self._desk = desk or clock
        self._most_of_one_user = most_of_one_user
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        # Under the lock:
        self._streams: set[Stream] = set()
        self._of_user: Counter[str] = Counter()
        self._arrived: list[Stream] = []
        self._left: list[Stream] = []
        self._changed: set[Hashable] = set()
        self._causes: list[str] = []
        # The thread's own:
        self._served: set[Stream] = set()
        self._live: dict[Hashable, _Live] = {}
        self._writes: list[tuple[Collection[Stream], bytes]] = []
        self._beat_due_s = self._look_due_s = self._rest_until_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def count(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no further stream is taken."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def require_room(self, user: str) -> None:
        """Insist that one more stream of ``user`` has room.

        Raises:
            Unavailable: there is none for anybody.
            TooManyRequests: the user has too many already.
        """
        if len(self._streams) >= MOST_STREAMS or self._stopping.is_set() or not self._thread.is_alive():
            raise Unavailable("too many live streams are open; the page asks again", retry_after_s=5)
        if self._of_user[user] >= self._most_of_one_user:
            raise TooManyRequests("too many of your pages are open; close some", retry_after_s=5)

    def reserve(
        self, topics: Sequence[tuple[Topic, str]], *, user: str, until_s: int,
        goes_on: Callable[[], bool] = ALWAYS, head: bytes = b"",
    ) -> Stream:  # fmt: skip
        """A place for a stream; from any thread. Raises like :meth:`require_room`."""
        stream = Stream(self, topics, user, until_s, goes_on, head)
        with self._lock:
            self.require_room(user)
            self._of_user[user] += 1
            self._streams.add(stream)
        return stream

    def time_event(self, name: str, **more: object) -> bytes:
        """An event that tells the desk's time, in ms since 1970."""
        body = json.dumps({"now": to_epoch_us(self._desk.now()) // 1000, **more}, separators=(",", ":"))
        return f"event: {name}\ndata: {body}\n\n".encode()

    def begin(self, stream: Stream) -> None:
        """Its head is written; on the event loop."""
        self._loop = asyncio.get_running_loop()
        with self._lock:
            self._arrived.append(stream)
        self._woken.set()

    def leave(self, stream: Stream) -> None:
        """Its connection is gone, or it never began; from any thread."""
        with self._lock:
            if stream not in self._streams:
                return
            stream.is_ended = True
            self._streams.discard(stream)
            self._left.append(stream)
            self._of_user[stream.user] -= 1
            if not self._of_user[stream.user]:
                del self._of_user[stream.user]
        self._woken.set()

    def changed(self, what: Iterable[Hashable]) -> None:
        """These reports or days may have changed. Quick, from any thread."""
        if not self._streams:
            return
        with self._lock:
            self._changed.update(what)
            if len(self._causes) < MOST_CAUSES and (cause := telemetry.recorded_traceparent()):
                self._causes.append(cause)
        self._woken.set()

    def end(self, *, user: str) -> None:
        """End the streams of a user now; from any thread."""
        with self._lock:
            ending = [each for each in self._streams if each.user == user]
        self._finish(ending)

    def end_sessions(self) -> None:
        """End those whose session is over or has run out; from any thread, so it waits for no turn."""
        now_s = to_epoch_us(self._clock.now()) // _US_PER_S
        with self._lock:
            ending = [each for each in self._streams if now_s >= each.until_s or not each.goes_on()]
        self._finish(ending)

    def close(self) -> None:
        """Let everybody go, and take nobody any more; browsers come back by themselves."""
        self._stopping.set()
        self._woken.set()
        with self._lock:
            ending = list(self._streams)
        self._finish(ending, b"")

    def _finish(self, streams: Collection[Stream], words: bytes = AGAIN) -> None:
        def finish() -> None:
            for each in streams:
                each.finish(words)

        for each in streams:
            each.is_ended = True  # where it has not begun yet, it ends when it does
        if streams and self._loop is not None:
            self._on_loop(self._loop, finish)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception:
                _log.exception("a turn of the streams failed")
                self._stopping.wait(0.5)

    def _turn(self) -> None:
        self._woken.wait(self._wait_s())
        self._woken.clear()
        with self._lock:
            arrived, self._arrived = self._arrived, []
            left, self._left = self._left, []
            changed, self._changed = self._changed, set()
            causes, self._causes = self._causes, []
        began_s = self._clock.monotonic_s()
        for live in self._live.values():
            if not changed.isdisjoint(live.topic.is_about):
                live.is_due = True
                live.causes += causes
        if began_s >= self._look_due_s:  # what no change announces: the state of the connections
            self._look_due_s = began_s + LOOK_EVERY_S
            for live in self._live.values():
                live.is_due = True
            self.end_sessions()
        for stream in arrived:
            try:
                self._enter(stream)
            except Exception:
                _log.exception("a stream could not begin")
                self._finish((stream,))
        for stream in left:
            self._forget(stream)
        self._tell(began_s)
        if began_s >= self._beat_due_s:
            self._beat_due_s = began_s + BEAT_S
            self._writes.append((tuple(self._served), self.time_event("beat")))
        self._write(began_s)

    def _wait_s(self) -> float:
        due = [max(live.due_s, self._rest_until_s) for live in self._live.values() if live.is_due]
        next_s = min([self._look_due_s, *due])
        return min(max(next_s - self._clock.monotonic_s(), 0.0), LOOK_EVERY_S)

    def _enter(self, stream: Stream) -> None:
        self._served.add(stream)
        for topic, known in stream.topics:
            live = self._live.get(topic.key) or _Live(topic)
            self._publish(live)  # so that from here on all listeners hear the same
            self._live[topic.key] = live
            live.listeners.add(stream)
            version = known.rpartition(".")[2]
            if live.last is not None and live.last.version != version:
                text = event(live.topic, live.versions.get(version), live.last)
                self._writes.append(((stream,), text))

    def _forget(self, stream: Stream) -> None:
        self._served.discard(stream)
        for topic, _ in stream.topics:
            live = self._live.get(topic.key)
            if live is not None:
                live.listeners.discard(stream)
                if not live.listeners:
                    del self._live[topic.key]

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

    def _publish(self, live: _Live) -> bool:
        before, found = live.last, live.look()
        if before is None or before is found:
            return False
        self._writes.append((tuple(live.listeners), event(live.topic, before, found)))
        telemetry.note({"wattbook.event.id": found.version, "wattbook.event.listeners": len(live.listeners)})
        return True

    def _write(self, began_s: float) -> None:
        """Have all of it written, and wait until it is."""
        writes, self._writes = self._writes, []
        if not writes or self._loop is None:
            return
        done = threading.Event()

        def write() -> None:
            for streams, text in writes:
                chunk = chunk_of(text)
                for stream in streams:
                    stream.write(chunk)
            done.set()

        if self._on_loop(self._loop, write):
            done.wait(MOST_WRITING_S)
        done_s = self._clock.monotonic_s()
        self._rest_until_s = done_s + (done_s - began_s) * REST_PER_WORK

    @staticmethod
    def _on_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> bool:
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:
            return False  # it has ended, and with it all connections
        return True
