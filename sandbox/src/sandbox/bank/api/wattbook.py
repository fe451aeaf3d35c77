"""The bank's API as Wattbook would like it: windows by cursor, each with its count and digest."""

from __future__ import annotations

import hashlib

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from wattbook.clock import Clock
from wattbook.errors import InvalidInput, WattbookError

from sandbox.bank.api.delivery import Answer, Delivery, dumped, refused
from sandbox.bank.domain.encoding import Style
from sandbox.bank.domain.rates import CURRENCIES
from sandbox.bank.domain.sizes import SOURCES
from sandbox.bank.usecases.bank import Bank, Fate
from sandbox.bank.usecases.windows import Windows, head_of

STYLE = Style(
    before=('{"id":"', '","payer_iban":"', '","beneficiary_iban":"', '","amount":', ',"currency":"',
            '","timestamp":"'),
    end='"}',
    codes=tuple(currency.code for currency in CURRENCIES),
)  # fmt: skip
RETRY_AFTER_S = 2


class WattbookDialect:
    """Handlers of the dialect ``wattbook``."""

    def __init__(self, bank: Bank, delivery: Delivery, *, clock: Clock, rates: str) -> None:
        """Hand out what ``bank`` has; ``rates`` says how the rate table reads."""
        self._bank, self._delivery, self._clock, self._rates = bank, delivery, clock, rates
        self._windows = Windows(bank)

    def app(self) -> Starlette:
        """The application that serves them."""
        routes = [
            Route("/ping", self.ping),
            Route("/company_info", self.company_info),
            Route("/exchange_rates", self.exchange_rates),
            *(Route(f"/{source}", self.transactions) for source in SOURCES),
        ]
        return Starlette(routes=routes, exception_handlers={WattbookError: refused, HTTPException: refused})

    async def ping(self, _: Request) -> Response:
        """Whether it is there; asks for no token, and nothing goes wrong with it."""
        return JSONResponse({"message": "pong"})

    async def company_info(self, request: Request) -> Response:
        """All companies."""

        def build(_: Fate) -> Answer:
            return _tagged(request, dumped([
                {"id": each.id + 1, "name": each.name, "owner": each.owner, "address": each.address,
                 "ibans": each.ibans}
                for each in self._bank.companies()
            ]))  # fmt: skip

        return await self._delivery.answer(request, build)

    async def exchange_rates(self, request: Request) -> Response:
        """All rates, as JSON numbers."""

        def build(_: Fate) -> Answer:
            rows = [
                f'{{"currency":"{row["currency"]}","eur_rate":{row["eur_rate"]},"usd_rate":{row["usd_rate"]}}}'
                for row in self._bank.rates(self._rates)
            ]
            return _tagged(request, f"[{','.join(rows)}]".encode())

        return await self._delivery.answer(request, build)

    async def transactions(self, request: Request) -> Response:
        """A page of a window."""
        return await self._delivery.answer(request, lambda fate: self._transactions(request, fate))

    def _transactions(self, request: Request, fate: Fate) -> Answer:
        source, now = request.url.path.strip("/"), self._clock.now()
        unknown = sorted(set(request.query_params) - {"cursor"})
        if unknown:
            raise InvalidInput(f"unknown parameter {', '.join(unknown)[:80]}; known is cursor")
        text = request.query_params.get("cursor")
        if text is None:
            host = request.client.host if request.client else ""
            client = f"{host} {request.headers.get('authorization', '')}"
            page = self._windows.next_for(client, source, STYLE, now=now, fate=fate)
        else:
            page = self._windows.at(source, self._windows.cursor_of(text), STYLE, now=now, fate=fate)
        body = b"".join((head_of(page), page.array, f',"next":"{page.next}"}}'.encode()))
        links = {"self": page.cursor, "next": page.next, "first": self._windows.first}
        headers = {"Link": ", ".join(f'</{source}?cursor={at}>; rel="{name}"' for name, at in links.items())}
        if page.next == page.cursor:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return _tagged(request, body, headers)


def _tagged(request: Request, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    """An answer with its ETag (weak, since it may be compressed); 304 where the client has it."""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    given = {"ETag": etag, "Cache-Control": "no-cache", **(headers or {})}
    known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    if {etag, etag.removeprefix("W/"), "*"} & known:
        return Answer(b"", 304, given)
    return Answer(body, headers=given)
