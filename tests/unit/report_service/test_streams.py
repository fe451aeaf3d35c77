"""Live streams: what changed is rendered once and written to every browser that looks."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from report_service.api import streams
from report_service.api.streaming import MOST_TOPICS, Asked, Streaming, may_stream, stream_of
from report_service.api.streams import ALWAYS, MOST_UNREAD_BYTES, Hub, Snapshot, Stream, Topic, event
from wattbook.clock import FakeClock, SystemClock, to_epoch_us
from wattbook.errors import TooManyRequests, Unavailable

from tests.support.waiting import wait_until

KEY = "day"


class Page:
    """Something that changes, with a count of how often it was rendered."""

    def __init__(self, key: str = KEY) -> None:
        self.slots = {"a": "1", "b": "1"}
        self.version = 1
        self.rendered = 0
        self.topic = Topic(key, frozenset({key}), self.render)

    def render(self) -> Snapshot:
        self.rendered += 1
        return Snapshot(str(self.version), dict(self.slots))

    def change(self, **slots: str) -> None:
        self.slots = {**self.slots, **slots}
        self.version += 1


class Ended(asyncio.Protocol):
    """Gives a stream's place back once its connection is gone."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.leave()


LOOP = asyncio.new_event_loop()


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    thread = threading.Thread(target=LOOP.run_forever)
    thread.start()
    yield
    LOOP.call_soon_threadsafe(LOOP.stop)
    thread.join()


class Browser:
    """The other end of a stream."""

    def __init__(
        self, hub: Hub, page: Page | list[Page], *, known: str = "1", lasts_s: int = 600,
        goes_on: Callable[[], bool] = ALWAYS, user: str = "ana",
    ) -> None:  # fmt: skip
        self.end, self._ours = socket.socketpair()
        self.end.settimeout(10)
        self.text = b""
        until_s = to_epoch_us(SystemClock().now()) // 1_000_000 + lasts_s
        pages = page if isinstance(page, list) else [page]
        topics = [(each.topic, known) for each in pages]
        self.stream = hub.reserve(topics, user=user, until_s=until_s, goes_on=goes_on)
        asyncio.run_coroutine_threadsafe(self._begin(), LOOP).result(10)
        wait_until(lambda: self.stream in hub._served or self.stream.is_ended, timeout_s=10, what="it began")

    async def _begin(self) -> None:
        transport, _ = await LOOP.connect_accepted_socket(lambda: Ended(self.stream), self._ours)
        transport.write(b"head\n\n")
        self.stream.begin(transport)

    def read_until(self, wanted: str) -> str:
        while wanted.encode() not in self.text:
            got = self.end.recv(65536)
            assert got, f"the stream ended before {wanted!r}: {self.text!r}"
            self.text += got
        return self.text.decode()

    def is_ended(self) -> bool:
        try:
            while got := self.end.recv(65536):
                self.text += got
        except ConnectionResetError:
            pass
        return True


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub(SystemClock())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def page() -> Page:
    return Page()


def data_of(text: str) -> list[dict[str, str]]:
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]


def test_a_change_is_written_to_all_and_only_what_differs(hub: Hub, page: Page) -> None:
    browsers = [Browser(hub, page) for _ in range(20)]
    for each in browsers:
        each.read_until("head")

    page.change(b="2")
    rendered = page.rendered
    hub.changed({KEY})

    for each in browsers:
        assert data_of(each.read_until(f"id: {page.topic.id}.2"))[-1:] in ([{"b": "2"}], [])
        assert each.read_until('{"b":"2"}')
    assert page.rendered - rendered <= 3  # once a change, and the look each second


def test_one_who_comes_back_gets_what_changed_since(hub: Hub, page: Page) -> None:
    first = Browser(hub, page)
    first.read_until("head")
    page.change(a="2")
    hub.changed({KEY})
    first.read_until('{"a":"2"}')

    back = Browser(hub, page, known="1")
    level = Browser(hub, page, known="2")
    stranger = Browser(hub, page, known="from another life")

    assert data_of(back.read_until('{"a":"2"}')) == [{"a": "2"}]
    assert data_of(stranger.read_until('"b":"1"}')) == [{"a": "2", "b": "1"}]
    page.change(b="3")
    hub.changed({KEY})
    assert data_of(level.read_until('{"b":"3"}')) == [{"b": "3"}]


def test_one_stream_carries_several_topics_each_with_a_version_of_its_own(hub: Hub) -> None:
    one, other = Page("one"), Page("other")
    browser, alone = Browser(hub, [one, other]), Browser(hub, other)
    browser.read_until("head")
    alone.read_until("head")

    one.change(a="5")
    hub.changed({"one"})
    browser.read_until(f'id: {one.topic.id}.2\nevent: change\ndata: {{"a":"5"}}')
    other.change(a="6")
    hub.changed({"other"})
    browser.read_until(f'id: {other.topic.id}.2\nevent: change\ndata: {{"a":"6"}}')

    assert '"a":"5"' not in alone.read_until('"a":"6"')
    assert hub.count == 2
    browser.end.close()
    wait_until(lambda: hub.count == 1, timeout_s=10, what="it is forgotten, with both topics")
    other.change(a="7")
    hub.changed({"other"})
    alone.read_until('"a":"7"')


def test_who_comes_back_with_the_id_of_an_event_gets_what_changed_since(hub: Hub, page: Page) -> None:
    stays = Browser(hub, page)
    stays.read_until("head")
    page.change(a="2")
    hub.changed({KEY})
    stays.read_until('{"a":"2"}')

    back = Browser(hub, page, known=f"{page.topic.id}.1")

    assert data_of(back.read_until('{"a":"2"}')) == [{"a": "2"}]


def test_a_beat_tells_the_desks_time(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BEAT_S", 0.1)
    world = FakeClock(datetime(2023, 2, 6, 12, tzinfo=UTC))
    hub = Hub(SystemClock(), desk=world)
    hub.start()
    try:
        Browser(hub, page).read_until(f'event: beat\ndata: {{"now":{to_epoch_us(world.now()) // 1000}}}')
    finally:
        hub.stop()


def test_a_change_that_nobody_announced_is_found_too(hub: Hub, page: Page) -> None:
    browser = Browser(hub, page)
    browser.read_until("head")

    page.change(a="9")

    browser.read_until('{"a":"9"}')


def test_one_who_does_not_read_is_let_go_and_the_others_are_served(hub: Hub, page: Page) -> None:
    idle, other = Browser(hub, page), Browser(hub, page)
    other.read_until("head")

    for number in range(12):
        page.change(a=str(number) * (MOST_UNREAD_BYTES // 4))
        hub.changed({KEY})
        other.read_until(f".{page.version}\n")

    wait_until(lambda: hub.count == 1, timeout_s=10, what="the idle one is let go")
    assert idle.is_ended()


def test_one_who_leaves_is_forgotten(hub: Hub, page: Page) -> None:
    browser = Browser(hub, page)
    browser.read_until("head")

    browser.end.close()

    wait_until(lambda: hub.count == 0, timeout_s=10, what="it is forgotten")


def test_a_stream_ends_with_its_session_and_asks_the_browser_to_come_again(hub: Hub, page: Page) -> None:
    browser = Browser(hub, page, lasts_s=-1)

    assert browser.is_ended()
    assert b"event: again" in browser.text


def test_a_stream_ends_when_its_session_was_ended_and_others_go_on(hub: Hub, page: Page) -> None:
    ended: list[bool] = []
    browser = Browser(hub, page, goes_on=lambda: not ended)
    other = Browser(hub, page)
    browser.read_until("head")

    ended.append(True)

    assert browser.read_until("event: again")
    assert browser.is_ended()
    page.change(b="2")
    hub.changed({KEY})
    assert other.read_until('{"b":"2"}')


def test_a_session_that_was_ended_waits_for_no_page_that_takes_long(hub: Hub, page: Page) -> None:
    ended: list[bool] = []
    browser = Browser(hub, page, goes_on=lambda: not ended)
    begun, released = threading.Event(), threading.Event()

    def render() -> Snapshot:
        begun.set()
        released.wait(20)
        return Snapshot("2", {"a": "2"})

    slow = Page("slow")
    slow.topic = Topic("slow", frozenset({"slow"}), render)
    other = hub.reserve([(slow.topic, "1")], user="tim", until_s=browser.stream.until_s)
    LOOP.call_soon_threadsafe(hub.begin, other)
    try:
        assert begun.wait(10)
        ended.append(True)

        hub.end_sessions()

        assert browser.is_ended()
        assert not released.is_set()
    finally:
        released.set()


def test_stopping_ends_all_streams_and_takes_no_more(hub: Hub, page: Page) -> None:
    browser = Browser(hub, page)
    browser.read_until("head")

    hub.close()

    assert browser.is_ended()
    assert b"event: again" not in browser.text
    with pytest.raises(Unavailable):
        Browser(hub, page)


def test_a_users_streams_can_be_ended_at_once(hub: Hub, page: Page) -> None:
    first, other = Browser(hub, page), Browser(hub, page, user="tim")

    hub.end(user="ana")

    assert first.is_ended()
    assert b"event: again" in first.text
    page.change(a="2")
    other.read_until('"a":"2"')


def test_a_stream_that_is_ended_before_it_begins_ends_at_once(hub: Hub, page: Page) -> None:
    until_s = to_epoch_us(SystemClock().now()) // 1_000_000 + 60
    reserved = hub.reserve([(page.topic, "")], user="ana", until_s=until_s)

    hub.end(user="ana")

    assert reserved.is_ended


def test_a_user_has_a_share_and_others_have_theirs(page: Page) -> None:
    hub = Hub(SystemClock(), most_of_one_user=3)
    hub.start()
    held = [Browser(hub, page) for _ in range(3)]

    with pytest.raises(TooManyRequests):
        Browser(hub, page)
    other = Browser(hub, page, user="tim")
    other.read_until("head")
    held[0].end.close()
    wait_until(lambda: hub.count == 3, timeout_s=10, what="its place is free")
    assert Browser(hub, page).read_until("head")

    hub.close()
    hub.stop()


def test_a_page_that_cannot_be_rendered_ends_its_own_stream_only(hub: Hub, page: Page) -> None:
    broken = Page("broken")
    broken.topic = Topic("broken", frozenset(), lambda: 1 / 0)  # type: ignore[arg-type, return-value]

    bad, good = Browser(hub, broken), Browser(hub, page)

    assert bad.is_ended()
    page.change(a="2")
    good.read_until('"a":"2"')


def test_text_of_all_kinds_stays_on_one_line() -> None:
    text = event(Page().topic, None, Snapshot("1", {"a": "ä\n\r\n<b>\u2028"})).decode()

    assert text.count("\n") == 4
    assert data_of(text) == [{"a": "ä\n\r\n<b>\u2028"}]


def test_a_session_that_one_topic_renews_is_renewed_for_the_next(hub: Hub) -> None:
    """A refresh token is good once: a second topic with the old one would end the session."""
    pages = {"/one/stream": Page("one"), "/two/stream": Page("two")}
    seen: list[str] = []

    def application(environ: dict[str, object], start_response: object) -> list[bytes]:
        seen.append(str(environ["HTTP_COOKIE"]))
        topic = pages[str(environ["PATH_INFO"])].topic
        may_stream(environ, Asked(topic, "", "ana", to_epoch_us(SystemClock().now()) // 1_000_000 + 60))
        renewed = [("Set-Cookie", 'session="new=="; HttpOnly; Path=/')] if "old" in seen[-1] else []
        start_response("200 OK", [("Content-Type", "text/event-stream"), *renewed])  # type: ignore[operator]
        return [b""]

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/stream",
        "HTTP_COOKIE": "theme=dark; session=old",
    }
    environ["QUERY_STRING"] = "t=%2Fone%2Fstream&v=&t=%2Ftwo%2Fstream&v="
    started: list[list[tuple[str, str]]] = []

    assert not b"".join(Streaming(application, hub)(environ, lambda _, headers: started.append(headers)))

    assert seen == ["theme=dark; session=old", 'theme=dark; session="new=="']
    assert [value for name, value in started[0] if name == "Set-Cookie"] == [
        'session="new=="; HttpOnly; Path=/'
    ]
    stream = stream_of(environ)
    assert stream is not None
    assert len(stream.topics) == 2


def test_more_topics_than_a_stream_carries_are_named_as_left_out(hub: Hub, page: Page) -> None:
    def application(environ: dict[str, object], start_response: object) -> list[bytes]:
        may_stream(environ, Asked(page.topic, "", "ana", to_epoch_us(SystemClock().now()) // 1_000_000 + 60))
        start_response("200 OK", [])  # type: ignore[operator]
        return [b""]

    query = "&".join(f"t=%2F{number}%2Fstream&v=" for number in range(MOST_TOPICS + 3))
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/stream", "QUERY_STRING": query}

    Streaming(application, hub)(environ, lambda *_: None)

    stream = stream_of(environ)
    assert stream is not None
    assert len(data_of(stream.head.decode())[0]["topics"]) == MOST_TOPICS


def test_a_refused_stream_is_answered_like_any_page(hub: Hub) -> None:
    def application(environ: dict[str, object], start_response: object) -> list[bytes]:
        start_response("403 FORBIDDEN", [])  # type: ignore[operator]
        return [b"no"]

    started: list[str] = []
    body = Streaming(application, hub)({"PATH_INFO": "/x/stream"}, lambda *each: started.append(each[0]))

    assert (started, list(body)) == (["403 FORBIDDEN"], [b"no"])
