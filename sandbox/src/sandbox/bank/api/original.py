"""The bank's API as the original bank had it, with all that its clients had to live with."""

from __future__ import annotations

import json
from itertools import count

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from wattbook.clock import Clock
from wattbook.errors import WattbookError

from sandbox.bank.api.delivery import Answer, Delivery, dumped, refused
from sandbox.bank.domain.encoding import Style
from sandbox.bank.domain.rates import CURRENCIES
from sandbox.bank.domain.sizes import SOURCES
from sandbox.bank.usecases.bank import Bank, Fate
from sandbox.bank.usecases.groups import Groups

_NAMES = {"SGD": "SGP"}  # not what ISO 4217 says
STYLE = Style(
    before=('{"id":', ',"sender":"', '","beneficiary":"', '","amount":{"Float":', ',"Status":2},"currency":"',
            '","time":"'),
    end='"}',
    codes=tuple(_NAMES.get(currency.code, currency.code) for currency in CURRENCIES),
    bare_dates=0.5,
).in_text()  # fmt: skip


class OriginalDialect:
    """Handlers of the dialect ``original``."""

    def __init__(
        self, bank: Bank, delivery: Delivery, *, clock: Clock, rates: str, hang_real_s: float
    ) -> None:
        """As :class:`WattbookDialect`; ``hang_real_s`` is how long it hangs where nothing is left."""
        self._bank, self._delivery, self._clock, self._rates = bank, delivery, clock, rates
        self._hang_real_s = hang_real_s
        self._groups = Groups(bank)
        self._exhausted = count()

    def app(self) -> Starlette:
        """The application that serves them."""
        routes = [
            Route("/ping", self.ping),
            Route("/company_info", self.company_info),
            Route("/companyInfo", self.company_info),
            Route("/exchange_rates", self.exchange_rates),
            *(Route(f"/{source}", self.transactions) for source in SOURCES),
        ]
        return Starlette(routes=routes, exception_handlers={WattbookError: refused, HTTPException: refused})

    async def ping(self, _: Request) -> Response:
        """Whether it is there."""
        return JSONResponse({"message": "pong"})

    async def company_info(self, request: Request) -> Response:
        """All companies, as text within JSON."""

        def build(_: Fate) -> Answer:
            rows = [
                {"companyID": each.id, "name": each.name, "ibans": f"{{{','.join(each.ibans)}}}",
                 "address": each.address, "balance": float(each.balance)}
                for each in self._bank.companies()
            ]  # fmt: skip
            return Answer(_wrapped("company_info", json.dumps(rows)))

        return await self._delivery.answer(request, build)

    async def exchange_rates(self, request: Request) -> Response:
        """All rates, as text within JSON."""

        def build(_: Fate) -> Answer:
            rows = [
                {"currency": _NAMES.get(row["currency"], row["currency"]),
                 "eur_rate": float(row["eur_rate"]), "usd_rate": float(row["usd_rate"])}
                for row in self._bank.rates(self._rates)
            ]  # fmt: skip
            return Answer(_wrapped("exchange_rates", json.dumps(rows)))

        return await self._delivery.answer(request, build)

    async def transactions(self, request: Request) -> Response:
        """The next five days; where there are none it hangs, or fails."""
        return await self._delivery.answer(request, lambda fate: self._transactions(request, fate))

    def _transactions(self, request: Request, fate: Fate) -> Answer:
        source = request.url.path.strip("/")
        arrays = self._groups.next(source, STYLE, now=self._clock.now(), fate=fate)
        if arrays is None:
            hang_real_s = self._hang_real_s if next(self._exhausted) % 2 else 0.0
            return Answer(b"Internal Server Error", 500, hang_real_s=hang_real_s, note="exhausted")
        head = f'{{"{source}_transactions":"'.encode()
        return Answer(b"".join(head + array + b'"}' for array in arrays))


def _wrapped(name: str, text: str) -> bytes:
    return dumped({name: text})
