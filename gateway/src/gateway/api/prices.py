"""``/reference-prices``: what the provider said, with when it said it and when we had it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import msgspec
from wattbook.clock import Clock, from_epoch_s, iso_z, to_epoch_us
from wattbook.errors import InvalidInput
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod, NoSuchPeriod, hour_starting
from wattbook.trade.statement import delivery_start_s
from wattbook_proto import prices_pb2

from gateway.api.http import Request, Response, json_response
from gateway.api.reports import tagged
from gateway.api.values import instant_s, instant_us, number
from gateway.usecases.live import Prices

_US_PER_S = 1_000_000


class PricesApi:
    """Handlers of the reference prices."""

    def __init__(self, prices: Prices, clock: Clock) -> None:
        """Serve ``prices``; ages are told by ``clock``."""
        self._prices = prices
        self._clock = clock

    async def day(self, request: Request) -> Response:
        """``GET /reference-prices``."""
        area, delivery_day = request.params.get("area", DEFAULT_AREA), request.params["delivery_day"]
        reply = await self._prices.day(request.principal, delivery_day=delivery_day, area=area)
        now_s = to_epoch_us(self._clock.now()) // _US_PER_S
        body = {
            "delivery_day": delivery_day.isoformat(),
            "area": area,
            "prices": [
                {**_row(price), "age_s": now_s - price.last_update_us // _US_PER_S} for price in reply.prices
            ],
        }
        return tagged(request, msgspec.json.encode(body), version=_version(reply), weak=True)

    async def history(self, request: Request) -> Response:
        """``GET /reference-prices/{delivery_start}/history``."""
        area = request.params.get("area", DEFAULT_AREA)
        start_s = _start_s(request.params["delivery_start"], area)
        reply = await self._prices.history(request.principal, delivery_start_s=start_s, area=area)
        start = iso_z(from_epoch_s(start_s))
        return json_response({"delivery_start": start, "area": area, "prices": _rows(reply.prices)})


def _start_s(text: str, area: str) -> int:
    try:
        start = dt.datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        raise InvalidInput("delivery_start: expected a date-time with a zone (2023-02-28T13:00:00Z)")
    start_s = delivery_start_s(start)
    try:
        hour_starting(area, start)
    except NoSuchPeriod as error:
        raise InvalidInput(f"delivery_start: {error}") from None
    return start_s


def _version(reply: prices_pb2.DayReply) -> str:
    """Changes when a price does; ages follow from the prices and the time, so they are no part of it."""
    digest = blake2b(digest_size=12)
    for price in reply.prices:
        digest.update(price.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _rows(prices: Iterable[prices_pb2.ReferencePrice]) -> list[dict[str, Any]]:
    return [_row(price) for price in prices]


def _row(price: prices_pb2.ReferencePrice) -> dict[str, Any]:
    period = DeliveryPeriod(price.area, from_epoch_s(price.delivery_start_s), price.delivery_minutes)
    return {
        "delivery_start": iso_z(period.start),
        "delivery_hour": period.delivery_hour,
        "label": period.label,
        "value_eur_per_mwh": number(format(Decimal(price.value_eur_per_mwh), "f")),
        "last_update": instant_us(price.last_update_us),
        "fetched": instant_us(price.fetched_time_us),
        "cycle_start": instant_s(price.cycle_start_s),
    }
