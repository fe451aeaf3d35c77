"""``/companies`` and ``/cash``: what companies have and what moved it."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

import msgspec
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import InvalidInput
from wattbook_proto import cash_pb2

from gateway.api import cash_answers as answers
from gateway.api.http import CSV, NDJSON, Request, Response
from gateway.api.reports import tagged
from gateway.usecases.cash import Cash
from gateway.usecases.threads import Pool

DEFAULT_LIMIT = 100
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_ALWAYS = dt.datetime(_LAST_YEAR + 1, 1, 1, tzinfo=dt.UTC)
_DAY = dt.timedelta(days=1)
_DATE_LENGTH = len("2021-01-01")
_INCLUDES = {
    "batch": cash_pb2.BATCH,
    "batch-once": cash_pb2.BATCH_ONCE,
    "invalid-iban": cash_pb2.INVALID_IBAN,
}


class CashApi:
    """Handlers of the cash document."""

    def __init__(self, cash: Cash, clock: Clock, formatting: Pool) -> None:
        """Serve ``cash``; long files are formatted in ``formatting``'s threads."""
        self._cash = cash
        self._clock = clock
        self._formatting = formatting

    async def companies(self, request: Request) -> Response:
        """``GET /companies``."""
        params = request.params
        reply = await self._ask(
            request, "Companies",
            cash_pb2.CompaniesRequest(
                query=params.get("q", ""), sort=params.get("sort", ""), limit=_limit(params),
                cursor=params.get("cursor", ""),
            ),
        )  # fmt: skip
        return _answered(request, reply, answers.companies(reply), next_cursor=reply.next_cursor)

    async def company(self, request: Request) -> Response:
        """``GET /companies/{id}``."""
        reply = await self._ask(request, "Company", cash_pb2.CompanyRequest(id=request.params["id"]))
        return _answered(request, reply, answers.company(reply))

    async def balance(self, request: Request) -> Response:
        """``GET /companies/{id}/balance``."""
        params = request.params
        at = _instant("at", params["at"], end=True) if "at" in params else None
        reply = await self._ask(
            request, "Balance",
            cash_pb2.BalanceRequest(
                company_id=params["id"], at_us=None if at is None else to_epoch_us(at),
                currency=params.get("currency", ""),
                include=_include(params),
            ),
        )  # fmt: skip
        body = answers.balance(reply)
        if at is None:
            reply.ClearField("at_us")  # now is later each time, which changes no figure
        return _answered(request, reply, body)

    async def history(self, request: Request) -> Response:
        """``GET /companies/{id}/history``."""
        params = request.params
        interval = params.get("interval", "month")
        begins, ends = _period(params, interval=interval, now=self._clock.now())
        reply = await self._ask(
            request, "History",
            cash_pb2.HistoryRequest(
                company_id=params["id"], from_us=begins, before_us=ends, iban=params.get("account", ""),
                interval=answers.INTERVALS[interval], currency=params.get("currency", ""),
                include=_include(params),
            ),
        )  # fmt: skip
        return _answered(request, reply, answers.history(reply))

    async def countries(self, request: Request) -> Response:
        """``GET /companies/{id}/countries``."""
        reply = await self._ask(request, "Countries", _period_request(request.params))
        return _answered(request, reply, answers.countries(reply))

    async def counterparties(self, request: Request) -> Response:
        """``GET /companies/{id}/counterparties``."""
        reply = await self._ask(request, "Counterparties", _period_request(request.params))
        return _answered(request, reply, answers.counterparties(reply))

    async def transactions(self, request: Request) -> Response:
        """``GET /companies/{id}/transactions``."""
        params, as_csv = request.params, request.accepted == "text/csv"
        limit = params.get("limit", 0 if as_csv else DEFAULT_LIMIT)
        asked = _transactions_request(params, limit=limit, sums=not as_csv)
        pages = self._cash.transactions(request.principal, asked)
        # The first page is awaited here, so that what fails at once is answered as an error.
        first = None
        async for first in pages:  # noqa: B007  # anext with a default fails in CPython 3.11
            break
        if as_csv:
            return Response(200, content_type=CSV, pieces=self._csv(first, pages))
        whole = first or cash_pb2.TransactionPage()
        async for page in pages:
            whole.transactions.extend(page.transactions)
            whole.next_cursor = page.next_cursor
        return _answered(request, whole, answers.transactions(whole), next_cursor=whole.next_cursor)

    async def set_aside(self, request: Request) -> Response:
        """``GET /companies/{id}/set-aside`` and ``GET /cash/set-aside``."""
        params = request.params
        begins, ends = _period(params) if "from" in params or "to" in params else (0, 0)
        reply = await self._ask(
            request, "SetAside",
            cash_pb2.SetAsideRequest(
                company_id=params.get("id", 0), all_companies="id" not in params, from_us=begins,
                before_us=ends, reason=params.get("reason", ""), limit=_limit(params),
                cursor=params.get("cursor", ""),
            ),
        )  # fmt: skip
        return _answered(request, reply, answers.set_aside(reply), next_cursor=reply.next_cursor)

    async def quality(self, request: Request) -> Response:
        """``GET /companies/{id}/quality`` and ``GET /cash/quality``."""
        params = request.params
        reply = await self._ask(
            request, "Quality",
            cash_pb2.QualityRequest(
                company_id=params.get("id", 0), all_companies="id" not in params,
                currency=params.get("currency", ""),
            ),
        )  # fmt: skip
        return _answered(request, reply, answers.quality(reply))

    async def status(self, request: Request) -> Response:
        """``GET /cash/status``."""
        reply = await self._ask(request, "Status", cash_pb2.StatusRequest())
        return _answered(request, reply, answers.status(reply))

    async def windows(self, request: Request) -> Response:
        """``GET /cash/windows``."""
        params = request.params
        reply = await self._ask(
            request, "Windows",
            cash_pb2.WindowsRequest(
                source=answers.SOURCES.get(params.get("kind", ""), cash_pb2.SOURCE_UNSPECIFIED),
                state=params.get("state", ""), limit=_limit(params), cursor=params.get("cursor", ""),
            ),
        )  # fmt: skip
        return _answered(request, reply, answers.windows(reply), next_cursor=reply.next_cursor)

    async def reclean(self, request: Request) -> Response:
        """``POST /cash/reclean``."""
        replies = self._cash.reclean(request.principal, keep=request.params.get("keep") == "true")
        first = None
        async for first in replies:  # noqa: B007  # as above
            break
        return Response(200, content_type=NDJSON, pieces=_lines(first, replies))

    async def _ask(self, request: Request, method: str, asked: Any) -> Any:
        return await self._cash.ask(request.principal, method, asked)

    async def _csv(
        self, first: cash_pb2.TransactionPage | None, pages: AsyncIterator[cash_pb2.TransactionPage]
    ) -> AsyncGenerator[bytes, None]:
        yield answers.csv_header(first.currency if first else "")
        if first is not None:
            yield await self._formatting.run(answers.csv_lines, first)
        async for page in pages:
            yield await self._formatting.run(answers.csv_lines, page)


def _answered(request: Request, reply: Any, body: Mapping[str, Any], *, next_cursor: str = "") -> Response:
    """The body under a tag of the versions of data and rates, and of what else is in it.

    When the bank last confirmed the rates is told but no part of it: it changes no figure.
    """
    if reply.basis.HasField("rates"):
        reply.basis.rates.ClearField("confirmed_us")
    digest = blake2b(reply.SerializeToString(deterministic=True), digest_size=9).hexdigest()
    version = f"{reply.basis.data_version}.{reply.basis.rates.version}.{digest}"
    response = tagged(request, msgspec.json.encode(body), version=version, weak=True)
    if next_cursor:
        path = request.scope["path"]
        query = {name: value for name, value in request.params.items() if name != "id"}
        if "include" in query:
            query["include"] = ",".join(query["include"])
        following = urlencode({**query, "cursor": next_cursor})
        response.headers.append((b"link", f'<{path}?{following}>; rel="next"'.encode()))
    return response


async def _lines(
    first: cash_pb2.RecleanReply | None, replies: AsyncIterator[cash_pb2.RecleanReply]
) -> AsyncGenerator[bytes, None]:
    if first is not None:
        yield msgspec.json.encode(answers.recleaned(first)) + b"\n"
    async for reply in replies:
        yield msgspec.json.encode(answers.recleaned(reply)) + b"\n"


def _period_request(params: Mapping[str, Any]) -> cash_pb2.PeriodRequest:
    begins, ends = _period(params)
    return cash_pb2.PeriodRequest(
        company_id=params["id"], from_us=begins, before_us=ends, currency=params.get("currency", ""),
        include=_include(params), iban=params.get("account", ""), limit=_limit(params),
    )  # fmt: skip


def _transactions_request(
    params: Mapping[str, Any], *, limit: int, sums: bool
) -> cash_pb2.TransactionsRequest:
    begins, ends = _period(params)
    return cash_pb2.TransactionsRequest(
        company_id=params["id"], from_us=begins, before_us=ends, currency=params.get("currency", ""),
        include=_include(params), iban=params.get("account", ""),
        direction=answers.DIRECTIONS.get(params.get("direction", ""), cash_pb2.DIRECTION_UNSPECIFIED),
        country=params.get("country", ""), min_amount=params.get("min", ""),
        max_amount=params.get("max", ""),
        source=answers.SOURCES.get(params.get("kind", ""), cash_pb2.SOURCE_UNSPECIFIED),
        counterparty=params.get("counterparty", ""), limit=limit, cursor=params.get("cursor", ""),
        without_sums=not sums,
    )  # fmt: skip


def _limit(params: Mapping[str, Any]) -> int:
    return int(params.get("limit", DEFAULT_LIMIT))


def _include(params: Mapping[str, Any]) -> list[Any]:
    asked = params.get("include", ())
    if "batch" in asked and "batch-once" in asked:
        raise InvalidInput("include: expected batch or batch-once, not both")
    return [_INCLUDES[name] for name in asked]


def _period(
    params: Mapping[str, Any], *, interval: str = "all", now: dt.datetime | None = None
) -> tuple[int, int]:
    """From when on and before when, in µs: all of it unless told; by intervals the last year to today's end.

    Raises:
        InvalidInput: no instant, or in the wrong order.
    """
    last = _ALWAYS
    if now is not None and interval != "all":
        last = dt.datetime.combine(now.astimezone(dt.UTC), dt.time(), tzinfo=dt.UTC) + _DAY
    ends = _instant("to", params["to"]) if "to" in params else last
    begins = dt.datetime(_FIRST_YEAR, 1, 1, tzinfo=dt.UTC)
    if "from" in params:
        begins = _instant("from", params["from"])
    elif interval != "all":
        begins = max(_start_of(interval, ends - 365 * _DAY), begins)
    if begins >= ends:
        raise InvalidInput("from: expected a time before to")
    return to_epoch_us(begins), to_epoch_us(ends)


def _start_of(interval: str, instant: dt.datetime) -> dt.datetime:
    """When the bucket begins that an instant is in."""
    day = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "week":
        return day - day.weekday() * _DAY
    months = {"month": 1, "quarter": 3, "year": 12}.get(interval)
    return day.replace(month=(day.month - 1) // months * months + 1, day=1) if months else day


def _instant(name: str, text: str, *, end: bool = False) -> dt.datetime:
    """A date or a date-time with a zone; a date is its beginning, or its last microsecond for ``end``."""
    try:
        found = dt.datetime.fromisoformat(text)
        is_date = len(text) == _DATE_LENGTH
        if is_date:
            found = found.replace(tzinfo=dt.UTC)
        if found.tzinfo is None:
            raise ValueError(text)
        if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
            raise InvalidInput(f"{name}: outside {_FIRST_YEAR}-01-01…{_LAST_YEAR}-12-31")
        found = found.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        wanted = "expected a date that exists (2021-03-31) or a date-time with a zone (2021-03-31T12:00:00Z)"
        raise InvalidInput(f"{name}: {wanted}") from None
    if is_date and end:
        found += _DAY - dt.timedelta(microseconds=1)
    return found
