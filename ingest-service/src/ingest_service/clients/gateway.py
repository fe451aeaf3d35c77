"""The gateway's REST API as this service needs it: one file up as a stream, the answer down as a stream."""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import httpx
from wattbook.auth.endpoint import TokenEndpoint
from wattbook.clock import Clock
from wattbook.errors import WattbookError
from wattbook.telemetry.http import ClientRequest
from wattbook.text import shown
from wattbook.units import KW_PER_MW

from ingest_service.domain import (
    DIRECTIONS,
    ConfirmedTrade,
    Counts,
    FileRefused,
    GatewayDown,
    ListedRow,
    UploadFailed,
    Verdict,
    instant_us,
    kept_content,
)

CONNECT_TIMEOUT_S = 5.0
STALL_TIMEOUT_S = 60.0  # between two pieces, either way
TOKEN_TIMEOUT_S = 15.0
UPLOAD_TIMEOUT_S = 900.0
SLOWEST_BYTES_PER_S = 256 * 1024  # larger files get the time that this takes, at least
TOKEN_EARLY_S = 60.0
LONGEST_RETRY_AFTER_S = 3600
ERROR_BODY_BYTES = 64 * 1024
FLOW_FILES = "/v1/flow-files"
IMPORT_TIMEOUT_S = 600.0  # from the last byte of a flow file to the answer
ANSWER_BYTES = 64 * 1024 * 1024  # of a zip with a thousand members
_FLOW_FILE_ANSWERS = frozenset({200, 201, 422})
ANSWER_LINE_BYTES = 4 * 1024 * 1024
_REFUSED_FOR_GOOD = frozenset({400, 413, 415, 422})
_NOT_ABOUT_THE_FILE = frozenset({401, 403, 404, 405, 429})

_T = TypeVar("_T")
Body = Callable[[], AsyncIterator[bytes]]
OnRefused = Callable[[Sequence[ListedRow]], Awaitable[None]]


class _TokenRefused(GatewayDown):
    """The gateway does not take our token."""


class Gateway:
    """A client with an OAuth token of its own (client credentials), made anew when it ends or is refused."""

    def __init__(self, *, url: str, client_id: str, client_secret: str, clock: Clock) -> None:
        """Nothing is sent before the first upload; ``url`` has no ``/v1``."""
        self._url = url.rstrip("/")
        self._tokens = TokenEndpoint(url, client=(client_id, client_secret), timeout_s=TOKEN_TIMEOUT_S)
        self._clock = clock
        self._token: tuple[str, float] | None = None  # and when to have a new one, monotonic
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(STALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            headers={"Accept-Encoding": "identity", "User-Agent": "wattbook-ingest"},
            trust_env=False,  # proxies are for the outside, and settings come from app.py
        )

    async def upload(self, *, body: Body, size_bytes: int, on_refused: OnRefused) -> Counts:
        """Book a nightly file, sent as ``body`` yields it; refused rows are handed on as they are answered.

        ``on_refused`` gets them in ascending order, some at a time. An exception of ``body`` or
        ``on_refused`` passes through.

        Raises:
            FileRefused: the file as a whole is refused, today and tomorrow.
            GatewayDown: no upload can work now: no connection, no token, too many requests.
            UploadFailed: this one broke off; none of it or a part of it is booked.
        """
        return await self._sent(size_bytes, partial(self._attempt, body, size_bytes, on_refused))

    async def upload_flow_file(self, *, body: Body, size_bytes: int, name: str) -> str:
        """Import a flow file or a zip; why it, or a part of it, was rejected, in lines; "" where all is in.

        Raises like :meth:`upload`.
        """
        rejected = await self._sent(size_bytes, partial(self._attempt_flow_file, body, size_bytes, name))
        return "".join([await self._why_rejected(file) for file in rejected])

    async def _sent(self, size_bytes: int, attempt: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(max(UPLOAD_TIMEOUT_S, size_bytes / SLOWEST_BYTES_PER_S)):
                try:
                    return await attempt()
                except _TokenRefused:  # it was withdrawn, or the gateway has new keys
                    return await attempt()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise GatewayDown(f"the gateway at {self._url} is not reachable") from error
        except httpx.HTTPError as error:
            raise UploadFailed(f"the upload broke off ({type(error).__name__})") from error
        except TimeoutError as error:
            raise UploadFailed("the upload took too long") from error

    async def close(self) -> None:
        """Let go of connections."""
        self._tokens.close()
        await self._http.aclose()

    async def _attempt(self, body: Body, size_bytes: int, on_refused: OnRefused) -> Counts:
        address = f"{self._url}/v1/trades/batch"
        with ClientRequest("POST", address) as request:
            async with self._http.stream(
                "POST",
                address,
                params={"source": "file", "results": "refused"},
                headers={
                    **await self._headers(size_bytes, "text/csv"),
                    "Accept": "application/x-ndjson",
                    **request.headers,
                },
                content=body(),
            ) as answer:
                request.answered(answer.status_code)
                if answer.status_code == httpx.codes.OK:
                    return await _read_answer(answer, on_refused)
                raise await self._refusal(answer)

    async def _attempt_flow_file(self, body: Body, size_bytes: int, name: str) -> list[dict[str, Any]]:
        """The files that were rejected: the one that was sent, or members of the zip."""
        boundary = secrets.token_hex()
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        async def form() -> AsyncIterator[bytes]:
            yield head
            async for chunk in body():
                yield chunk
            yield tail

        headers = await self._headers(
            len(head) + size_bytes + len(tail), f"multipart/form-data; boundary={boundary}"
        )
        address = f"{self._url}{FLOW_FILES}"
        with ClientRequest("POST", address) as request:
            async with self._http.stream(
                "POST", address, headers={**headers, **request.headers}, content=form(),
                timeout=httpx.Timeout(STALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, read=IMPORT_TIMEOUT_S),
            ) as answer:  # fmt: skip
                request.answered(answer.status_code)
                if answer.status_code not in _FLOW_FILE_ANSWERS:
                    raise await self._refusal(answer)
                return _rejected(await _whole(answer))

    async def _why_rejected(self, file: Mapping[str, Any]) -> str:
        """Every error that is kept of a file, a line each.

        Raises:
            UploadFailed: they cannot be had now.
        """
        address = f"{self._url}{FLOW_FILES}/{file['id']}/errors"
        headers = {"Authorization": f"Bearer {await self._bearer()}"}
        try:
            answer = await self._http.get(address, headers=headers)
            answer.raise_for_status()
            errors = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UploadFailed("the errors of a rejected flow file cannot be had now") from error
        title = f"{file['name']}/{file['member']}" if file["member"] else file["name"]
        lines = [
            f"{title} is rejected (flow file {file['id']}), {file['error_count']} errors",
            *map(_line, errors),
        ]
        return "\n".join(map(shown, lines)) + "\n"

    async def _headers(self, size_bytes: int, content_type: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {await self._bearer()}",
            "Content-Type": content_type,
            "Content-Length": str(size_bytes),
        }

    async def _bearer(self) -> str:
        now_s = self._clock.monotonic_s()
        if self._token is None or now_s >= self._token[1]:
            try:
                given = await asyncio.to_thread(self._tokens.own)
            except WattbookError as error:
                wait_s = error.retry_after_s
                if wait_s is not None:
                    wait_s = min(wait_s, LONGEST_RETRY_AFTER_S)
                raise GatewayDown(
                    f"the gateway gives no token: {error.message}", retry_after_s=wait_s
                ) from error
            self._token = given.access, now_s + max(given.lasts_s - TOKEN_EARLY_S, 1.0)
        return self._token[0]

    async def _refusal(self, answer: httpx.Response) -> Exception:
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > ERROR_BODY_BYTES:
                break
        message = _message(answer.status_code, body)
        if answer.status_code in _REFUSED_FOR_GOOD:
            return FileRefused(message)
        kind = GatewayDown if answer.status_code in _NOT_ABOUT_THE_FILE else UploadFailed
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._token, kind = None, _TokenRefused
        return kind(f"the gateway answered: {message}", retry_after_s=self._retry_after_s(answer.headers))

    def _retry_after_s(self, headers: Mapping[str, str]) -> int | None:
        text = headers.get("retry-after", "").strip()
        if text.isdecimal():
            seconds = int(text)
        else:
            try:
                until = email.utils.parsedate_to_datetime(text)
                seconds = int((until - self._clock.now()).total_seconds()) + 1
            except (ValueError, TypeError):
                return None
        return max(0, min(seconds, LONGEST_RETRY_AFTER_S))


async def _whole(answer: httpx.Response) -> dict[str, Any]:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > ANSWER_BYTES:
            raise UploadFailed("the gateway's answer is too long")
    return _object(body)


def _rejected(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        found = [file for file in answer["files"] if file["state"] == "rejected"]
    except (KeyError, TypeError) as error:
        raise UploadFailed("the gateway's answer does not say what became of the file") from error
    if not found and "message" in answer:
        raise FileRefused(str(answer["message"]))
    return found


def _line(error: Mapping[str, Any]) -> str:
    """``line 3: 250 CurrentRegisterRead: '8. 77': what would be right``."""
    place = " ".join(str(error[name]) for name in ("record", "field") if error.get(name))
    found = repr(error["found"]) if error.get("found") else ""
    parts = (f"line {error['line']}" if error.get("line") else "", place, found, str(error["expected"]))
    return ": ".join(part for part in parts if part)


def _message(status: int, body: bytes) -> str:
    try:
        answer = json.loads(body)
        text = answer.get("message") or answer.get("error_description") or answer.get("error")
    except (ValueError, AttributeError):
        text = None
    return f"{text} ({status})" if isinstance(text, str) else f"status {status}"


async def _read_answer(answer: httpx.Response, on_refused: OnRefused) -> Counts:
    refused = last_row = 0
    counts: Counts | None = None
    async for lines in _lines(answer):
        rows: list[ListedRow] = []
        for line in lines:
            item = _object(line)
            if "summary" in item:
                counts = _counts(item["summary"])
            elif item.get("result") in {"conflict", "invalid"} or item.get("corrected") is True:
                rows.append(_listed_row(item))
        if rows:
            if last_row >= rows[0].row or any(a.row >= b.row for a, b in itertools.pairwise(rows)):
                raise UploadFailed("the gateway's answer is not in the order of the rows")
            last_row = rows[-1].row
            refused += sum(row.verdict is not Verdict.CORRECTED for row in rows)
            await on_refused(rows)
    if counts is None:
        raise UploadFailed("the gateway's answer broke off")
    if counts.refused != refused:
        raise UploadFailed(f"the gateway refused {counts.refused} rows and listed {refused}")
    return counts


async def _lines(answer: httpx.Response) -> AsyncIterator[list[bytes]]:
    """The whole lines of the answer, as many at a time as came together."""
    rest = b""
    async for chunk in answer.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > ANSWER_LINE_BYTES:
            raise UploadFailed("the gateway's answer has a line without end")
        yield [line for line in lines if line]
    if rest.strip():
        yield [rest]


def _object(line: bytes) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise UploadFailed("the gateway's answer is not NDJSON") from error
    if not isinstance(item, dict):
        raise UploadFailed("the gateway's answer is not NDJSON of objects")
    return item


def _counts(summary: Any) -> Counts:
    try:
        return Counts(**{name: int(summary[name]) for name in ("added", "duplicate", "conflict", "invalid")})
    except (KeyError, TypeError, ValueError) as error:
        raise UploadFailed("the gateway's summary is incomplete") from error


def _listed_row(item: dict[str, Any]) -> ListedRow:
    try:
        row = int(item["row"])
    except (KeyError, TypeError, ValueError) as error:
        raise UploadFailed("the gateway's answer has no row number") from error
    verdict = Verdict.CORRECTED if item.get("corrected") is True else Verdict(item["result"])
    booked = _content(item["booked"]) if verdict is Verdict.CONFLICT and "booked" in item else ""
    return ListedRow(row, str(item.get("reason") or item["result"]), verdict, booked)


def _content(trade: dict[str, Any]) -> str:
    """A booked trade as a difference keeps it."""
    try:
        return kept_content(
            ConfirmedTrade(
                trade["id"],
                trade["price"],
                int(Decimal(str(trade["quantity"])) * KW_PER_MW),
                DIRECTIONS[trade["direction"]],
                trade["delivery_day"],
                trade["delivery_hour"],
                trade["trader_id"],
                instant_us(trade["execution_time"]),
            )
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise UploadFailed("the gateway's answer has a booked trade that cannot be read") from error
