"""The gateway's REST API, in the command's own words. Every call has a deadline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from wattbook_cli.domain.stops import SignInNeeded, Stop, TryLater

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_UPLOAD_TIMEOUT = httpx.Timeout(connect=5.0, write=120.0, read=900.0, pool=5.0)
_OWN_MACHINE = frozenset({"127.0.0.1", "::1", "localhost"})
NDJSON = "application/x-ndjson"
JSON = "application/json"
CSV = "text/csv"

Seen = Callable[[httpx.Response], None]


class Gateway:
    """One user's connection to a gateway; a context manager."""

    def __init__(self, url: str, *, auth: httpx.Auth | None = None, seen: Seen | None = None) -> None:
        """Call the gateway at ``url`` as ``auth``; ``seen`` is told of every answer."""
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            auth=auth,
            timeout=_TIMEOUT,
            trust_env=urlsplit(url).hostname not in _OWN_MACHINE,  # a proxy cannot reach our own machine
            event_hooks={"response": [seen]} if seen else None,
        )

    def __enter__(self) -> Self:
        """Use it for the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        accept: str = JSON,
        known_tag: str = "",
        refused: type[Stop] = Stop,
    ) -> httpx.Response:
        """A good answer to one request; ``refused`` is how a 400 is raised.

        Where ``known_tag`` is still the answer's ETag, it comes without a body.

        Raises:
            SignInNeeded: 401.
            TryLater: no answer, or one that says to ask again.
            Stop: any other refusal.
        """
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        headers = {"Accept": accept, **({"If-None-Match": known_tag} if known_tag else {})}
        with self._explained():
            answer = self._http.request(
                method, path, params=asked or None, json=body, data=form, headers=headers
            )
        if known_tag and answer.status_code == httpx.codes.NOT_MODIFIED:
            return answer
        return _good(answer, refused)

    def now(self) -> datetime:
        """What time it is at the desk, aware. Nobody has to be signed in for it.

        Raises:
            Stop: no answer, or one that does not say.
        """
        with self._explained():
            answer = self._http.get("/healthz", auth=None)
        try:
            return datetime.fromisoformat(_object(answer)["now"])
        except (ValueError, TypeError, KeyError):  # another program, or an older one
            raise Stop(f"{self.url} does not say what time it is") from None

    def me(self) -> dict[str, Any]:
        """Who is signed in: name, roles, trader_id."""
        return _object(self.ask("GET", "/v1/me"))

    def pages(self, path: str, *, query: Mapping[str, str | None]) -> Iterator[list[dict[str, Any]]]:
        """Page after page of a list, decimals exact.

        Raises:
            Stop: as :meth:`ask`.
        """
        answer = self.ask("GET", path, query=query)
        while True:
            yield exact(answer.text)
            following = answer.links.get("next", {}).get("url")
            if not following:
                return
            answer = self.ask("GET", following)

    @contextmanager
    def download(self, path: str, *, query: Mapping[str, str | None]) -> Iterator[Iterator[bytes]]:
        """The block gets the body of an answer as it comes.

        Raises:
            Stop: as :meth:`ask`.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        with self._explained(), self._http.stream("GET", path, params=asked or None) as answer:
            if answer.is_error:
                answer.read()
            yield _good(answer).iter_bytes()

    @contextmanager
    def upload(
        self, path: str, *, content: Iterable[bytes], content_type: str, query: Mapping[str, str]
    ) -> Iterator[Iterator[str]]:
        """Send a body as it is read; the block gets the lines of the answer as they come.

        Raises:
            Stop: as :meth:`ask`.
        """
        headers = {"Content-Type": content_type, "Accept": NDJSON}
        with (
            self._explained(),
            self._http.stream(
                "POST", path, params=dict(query), content=content, headers=headers, timeout=_UPLOAD_TIMEOUT
            ) as answer,
        ):
            if answer.is_error:
                answer.read()
            yield _good(answer).iter_lines()

    def send_file(self, path: str, file: Any, *, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Send a file as a form of one part; what the gateway says of it, also where it is rejected.

        Raises:
            Stop: as :meth:`ask`.
        """
        with self._explained():
            answer = self._http.post(
                path, params=dict(query), files={"file": (name, file)}, timeout=_UPLOAD_TIMEOUT
            )
        is_rejected = answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        return _object(answer if is_rejected else _good(answer))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise Stop(f"{self.url} is no address of a gateway; --url http://host:port names one") from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise TryLater(
                f"cannot reach Wattbook at {self.url}: is it running? `make up` starts it; "
                "--url or WATTBOOK_URL names another address"
            ) from None
        except httpx.TimeoutException:
            raise TryLater(f"Wattbook at {self.url} did not answer in time; try again") from None
        except httpx.TransportError:
            raise TryLater(
                f"the connection to Wattbook at {self.url} broke; try again (nothing is booked twice)"
            ) from None


def exact(text: str) -> Any:
    """JSON with its decimals as written: money and energy never pass through a float."""
    return json.loads(text, parse_float=Decimal)


def _object(answer: httpx.Response) -> dict[str, Any]:
    found = exact(answer.text)
    return found if isinstance(found, dict) else {}


def _good(answer: httpx.Response, refused: type[Stop] = Stop) -> httpx.Response:
    if answer.is_success:
        return answer
    request_id = answer.headers.get("X-Request-Id", "")
    try:
        message = str(_object(answer)["message"])
    except (ValueError, KeyError):
        raise Stop(
            f"{answer.url.copy_with(path='/', query=None)} does not answer like Wattbook "
            f"(status {answer.status_code}); --url names the gateway",
            request_id=request_id,
        ) from None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise SignInNeeded(f"not signed in: {message}; `wattbook login` signs in", request_id=request_id)
    later = answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS
    kind = TryLater if later else refused if answer.status_code == httpx.codes.BAD_REQUEST else Stop
    raise kind(_in_words(answer, message, request_id), request_id=request_id)


def _in_words(answer: httpx.Response, message: str, request_id: str) -> str:
    status = answer.status_code
    if status == httpx.codes.FORBIDDEN:
        return f"not allowed: {message}"
    if status == httpx.codes.TOO_MANY_REQUESTS:
        wait_s = answer.headers.get("Retry-After", "")
        return f"{message} (try again {f'in {wait_s} s' if wait_s else 'a little later'})"
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return f"Wattbook cannot do that now: {message} (status {status}, request id {request_id or '–'})"
    return message
