"""The bank over HTTP: one request, one whole answer, within a deadline and a size."""

from __future__ import annotations

import time
from typing import NamedTuple

import httpx
from wattbook.telemetry.http import ClientRequest

from cash_service.domain.cleaning import Source

ANSWER_WITHIN_S = 60.0
SILENT_S = 10.0
MOST_BYTES = 64 * 1024 * 1024
MOST_HOLD_S = 3_600.0
PATHS = {Source.SEPA: "/sepa", Source.SWIFT: "/swift"}
_NO_JSON = ("text/html", "text/css", "image/", "application/xml", "text/xml")


class Failed(Exception):  # it is counted and tried again, no error of ours
    """A try that brought nothing; ``reason`` is a word to count by, the text says more."""

    def __init__(self, reason: str, text: str, *, retry_after_s: float | None = None) -> None:
        """Say why; ``retry_after_s`` where the bank says when to come again."""
        super().__init__(text)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Answer(NamedTuple):
    """A whole answer; ``content`` None: the same as what was had (304).

    ``first``: the cursor of the very first window, where the bank says one.
    """

    content: bytes | None
    etag: str
    first: str = ""


class Bank:
    """``GET`` of the bank's paths. Everything raises :class:`Failed`."""

    def __init__(self, *, url: str, token: str = "") -> None:
        """Ask under ``url``, with a bearer token where there is one."""
        self._url = url.rstrip("/")
        headers = {"Accept": "application/json", "User-Agent": "wattbook-cash"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(timeout=SILENT_S, headers=headers, follow_redirects=False)

    def companies(self) -> Answer:
        """All companies."""
        return self._get("/company_info")

    def rates(self) -> Answer:
        """All rates."""
        return self._get("/exchange_rates")

    def payments(self, source: Source, *, cursor: str = "", etag: str = "") -> Answer:
        """Payments from a cursor on, or from where the bank thinks that we are."""
        return self._get(PATHS[source], cursor=cursor, etag=etag)

    def close(self) -> None:
        """End what is on its way."""
        self._http.close()

    def _get(self, path: str, *, cursor: str = "", etag: str = "") -> Answer:
        try:
            return self._ask(path, cursor=cursor, etag=etag)
        except httpx.TimeoutException as error:
            raise Failed("timeout", f"{path}: no whole answer in time") from error
        except httpx.ConnectError as error:
            if "CERTIFICATE" in str(error).upper():
                raise Failed("certificate", f"{path}: {error}") from error
            raise Failed("unreachable", f"{path}: the bank cannot be reached") from error
        except httpx.HTTPError as error:
            raise Failed("broken_off", f"{path}: the answer broke off ({type(error).__name__})") from error

    def _ask(self, path: str, *, cursor: str, etag: str) -> Answer:
        deadline_s = time.monotonic() + ANSWER_WITHIN_S
        url = self._url + path
        with (
            ClientRequest("GET", url) as request,
            self._http.stream(
                "GET", url, params={"cursor": cursor} if cursor else None,
                headers={"If-None-Match": etag} if etag else None,
            ) as answer,
        ):  # fmt: skip
            request.answered(answer.status_code)
            retry_after_s = _retry_after_s(answer.headers.get("retry-after", ""))
            if etag and answer.status_code == httpx.codes.NOT_MODIFIED:
                return Answer(None, etag)
            _require_json(path, answer, retry_after_s)
            content = _read(path, answer, deadline_s)
        first = httpx.URL(answer.links.get("first", {}).get("url", "")).params.get("cursor", "")
        return Answer(content, answer.headers.get("etag", ""), first)


def _require_json(path: str, answer: httpx.Response, retry_after_s: float | None) -> None:
    if answer.is_redirect:
        raise Failed("redirect", f"{path}: the bank sends us elsewhere, which is not followed")
    if answer.status_code != httpx.codes.OK:
        text = f"{path}: status {answer.status_code}"
        raise Failed(f"status_{answer.status_code}", text, retry_after_s=retry_after_s)
    kind = answer.headers.get("content-type", "").lower()
    if kind.startswith(_NO_JSON):
        raise Failed("content_type", f"{path}: {kind[:80]!r} is no JSON")


def _read(path: str, answer: httpx.Response, deadline_s: float) -> bytes:
    pieces, size = [], 0
    for piece in answer.iter_bytes():
        size += len(piece)
        if size > MOST_BYTES:
            raise Failed("too_large", f"{path}: over {MOST_BYTES} bytes")
        if time.monotonic() > deadline_s:
            raise Failed("timeout", f"{path}: no whole answer within {ANSWER_WITHIN_S:g} s")
        pieces.append(piece)
    return b"".join(pieces)


def _retry_after_s(text: str) -> float | None:
    text = text.strip()
    return min(float(text), MOST_HOLD_S) if text.isascii() and text.isdecimal() and len(text) < 10 else None
