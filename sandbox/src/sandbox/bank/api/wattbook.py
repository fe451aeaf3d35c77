"""The bank's API as Wattbook would like it: windows by cursor, each with its count and digest."""

from __future__ import annotations

import hashlib
import hmac
import json

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from wattbook.clock import Clock
from wattbook.errors import BY_HTTP_STATUS, InvalidInput, Unauthenticated, WattbookError, error_body

from sandbox.bank.domain.encoding import Style
from sandbox.bank.domain.rates import CURRENCIES, rate_rows
from sandbox.bank.domain.sizes import SOURCES
from sandbox.bank.usecases.windows import Cursor, Windows, head_of

STYLE = Style(
    before=('{"id":"', '","payer_iban":"', '","beneficiary_iban":"', '","amount":', ',"currency":"',
            '","timestamp":"'),
    end='"}',
    codes=tuple(currency.code for currency in CURRENCIES),
)  # fmt: skip
RETRY_AFTER_S = 2


class WattbookDialect:
    """Handlers of the dialect ``wattbook``."""

    def __init__(self, windows: Windows, *, clock: Clock, token: str, rates: str) -> None:
        """Hand out ``windows``; an empty token asks for none; ``rates`` says how the rate table reads."""
        self._windows, self._clock = windows, clock
        self._token, self._rates = token, rates
        self._places: dict[tuple[str, str, str], Cursor] = {}

    def app(self) -> Starlette:
        """The application that serves them."""
        routes = [
            Route("/ping", self.ping),
            Route("/company_info", self.company_info),
            Route("/exchange_rates", self.exchange_rates),
            *(Route(f"/{source}", self.transactions) for source in SOURCES),
        ]
        return Starlette(routes=routes, exception_handlers={WattbookError: _refusal, HTTPException: _refusal})

    def ping(self, _: Request) -> Response:
        """Whether it is there; asks for no token."""
        return JSONResponse({"message": "pong"})

    def company_info(self, request: Request) -> Response:
        """All companies."""
        self._admit(request)
        return _json(
            request,
            json.dumps(
                [
                    {"id": each.id + 1, "name": each.name, "owner": each.owner, "address": each.address,
                     "ibans": each.ibans}
                    for each in self._windows.data.companies()
                ],
                ensure_ascii=False, separators=(",", ":"),
            ).encode(),
        )  # fmt: skip

    def exchange_rates(self, request: Request) -> Response:
        """All rates, as JSON numbers."""
        self._admit(request)
        rows = [
            f'{{"currency":"{row["currency"]}","eur_rate":{row["eur_rate"]},"usd_rate":{row["usd_rate"]}}}'
            for row in rate_rows(self._rates)
        ]
        return _json(request, f"[{','.join(rows)}]".encode())

    def transactions(self, request: Request) -> Response:
        """A page of a window."""
        self._admit(request)
        source = request.url.path.strip("/")
        unknown = sorted(set(request.query_params) - {"cursor"})
        if unknown:
            raise InvalidInput(f"unknown parameter {', '.join(unknown)[:80]}; known is cursor")
        text = request.query_params.get("cursor")
        client = request.client.host if request.client else ""
        place = (client, request.headers.get("authorization", ""), source)
        if text is None:
            cursor = self._places.get(place, self._windows.first)
        else:
            cursor = self._windows.cursor_of(text)
        page = self._windows.page(source, cursor, STYLE, now=self._clock.now())
        if text is None:
            self._places[place] = page.next
        body = b"".join((head_of(page), page.array, f',"next":"{page.next}"}}'.encode()))
        links = {"self": cursor, "next": page.next, "first": self._windows.first}
        headers = {"Link": ", ".join(f'</{source}?cursor={at}>; rel="{name}"' for name, at in links.items())}
        if page.next == cursor:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return _json(request, body, headers)

    def _admit(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if self._token and not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise Unauthenticated("send the bank's token: Authorization: Bearer …")


def _json(request: Request, body: bytes, headers: dict[str, str] | None = None) -> Response:
    """An answer with its ETag; 304 where the client has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    given = {"ETag": etag, "Cache-Control": "no-cache", **(headers or {})}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=given)
    return Response(body, media_type="application/json", headers=given)


async def _refusal(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        error = BY_HTTP_STATUS.get(error.status_code, InvalidInput)(error.detail)
    assert isinstance(error, WattbookError)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthenticated) else None
    return JSONResponse(error_body(error), status_code=error.http_status, headers=headers)
