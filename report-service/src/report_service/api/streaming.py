"""WSGI in front of Flask: makes one stream of all that a browser asks for, each part asked for by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes, urlencode

from wattbook.errors import WattbookError

from report_service.api.recent import Environ
from report_service.api.streams import ALWAYS, Hub, Stream, Topic

_ASKED = "wattbook.stream"
_STREAM = "wattbook.streams"
SEVERAL = "/stream"
MOST_TOPICS = 24  # pages that one browser looks at, hidden ones not counted
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True)
class Asked:
    """A stream that was asked for by somebody who may have it, as long as their session ``goes_on``."""

    topic: Topic
    known_version: str
    user: str
    until_s: int
    goes_on: Callable[[], bool] = ALWAYS


def may_stream(environ: Environ, asked: Asked) -> None:
    """Let the answer to this request go on as a stream."""
    environ[_ASKED] = asked


def stream_of(environ: Environ) -> Stream | None:
    """The stream, with its place in the hub, that the answer to this request goes on as."""
    found: Stream | None = environ.get(_STREAM)
    return found


class Streaming:
    """Passes requests on; one that may become a stream is given its place in ``hub``.

    ``/stream?t=…&v=…&t=…&v=…`` carries several streams, each by its own address and the version that is known
    of it. Each is asked for as if it came alone, so that it is refused as it would be alone.
    """

    def __init__(self, application: Application, hub: Hub) -> None:
        """In front of ``application``."""
        self._application = application
        self._hub = hub

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path = environ["PATH_INFO"]
        if not path.endswith("/stream"):
            return self._application(environ, start_response)
        named = _named(environ) if path == SEVERAL else [(path, environ.get("QUERY_STRING", ""))]
        answers = self._asked(environ, named)
        found = [each.asked for each in answers if each.asked is not None]
        refused = next((each for each in answers if each.is_all), answers[-1])
        if not found or refused.is_all:
            start_response(refused.status, refused.headers)
            return (refused.body,)
        first = next(each for each in answers if each.asked is not None)
        headers = [each for each in first.headers if each[0].lower() != "set-cookie"]
        headers += [each for answer in answers for each in answer.headers if each[0].lower() == "set-cookie"]
        head = self._hub.time_event("topics", topics=[each.asked and each.asked.topic.id for each in answers])
        if environ["REQUEST_METHOD"] == "GET":
            try:
                environ[_STREAM] = self._hub.reserve(
                    [(each.topic, each.known_version) for each in found],
                    user=found[0].user,
                    until_s=min(each.until_s for each in found),
                    goes_on=found[0].goes_on,  # one request has one session
                    head=head,
                )
            except WattbookError as error:  # taken since they were asked for
                start_response(f"{error.http_status} {error.code}", [("Retry-After", "5")])
                return (error.message.encode(),)
        start_response(first.status, headers)
        return ()

    def _asked(self, environ: Environ, named: Sequence[tuple[str, str]]) -> list[_Answer]:
        """What the application says to each, one after the other; a cookie it sets goes with the next."""
        answers: list[_Answer] = []
        cookies = environ.get("HTTP_COOKIE", "")
        for path, query in named:
            one = {**environ, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_COOKIE": cookies}
            one.pop(_ASKED, None)
            started: list[Any] = []

            def start(status: str, headers: list[tuple[str, str]], *rest: Any, to: Any = started) -> Any:
                to[:] = [status, headers, *rest]
                return lambda _data: None

            body = b"".join(self._application(one, start))
            status, headers = started[:2]
            asked = one.get(_ASKED) if status.startswith("200") else None
            answers.append(_Answer(status, headers, body, asked))
            cookies = _renewed(cookies, headers)
        return answers


@dataclass(frozen=True)
class _Answer:
    """What the application said to one of the streams that were asked for."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    asked: Asked | None

    @property
    def is_all(self) -> bool:
        """Whether it answers all of them: signed out, not ready. One that is not theirs is left out."""
        return self.asked is None and self.status[:3] not in {"200", "403", "404"}


def _named(environ: Environ) -> list[tuple[str, str]]:
    """Path and query of each stream that is named, with what is known of it."""
    asked = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    topics, known = asked.get("t", [])[:MOST_TOPICS], asked.get("v", [])
    found = []
    for at, each in enumerate(topics):
        path, _, query = each.partition("?")
        version = urlencode({"last_event_id": known[at] if at < len(known) else ""})
        is_stream = path.endswith("/stream") and path != SEVERAL
        found.append(
            # As a server hands paths over: their bytes, as latin-1.
            (unquote_to_bytes(path).decode("latin-1"), f"{query}&{version}" if query else version)
            if is_stream
            else ("/nothing/stream", "")
        )
    return found or [("/nothing/stream", "")]


def _renewed(cookies: str, headers: list[tuple[str, str]]) -> str:
    """The cookies with those that an answer sets, so that no session is refreshed twice."""
    jar = SimpleCookie(cookies)
    fresh = [value for name, value in headers if name.lower() == "set-cookie"]
    if not fresh:
        return cookies
    for each in fresh:
        jar.load(each)
    return "; ".join(f"{name}={morsel.coded_value}" for name, morsel in jar.items())
