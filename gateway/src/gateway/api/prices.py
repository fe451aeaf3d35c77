"""``/reference-prices``: what the provider said, with when it said it and when we had it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from wattbook.clock import from_epoch_s, iso_z
from wattbook.errors import InvalidInput
from wattbook.periods import DEFAULT_AREA, DeliveryPeriod
from wattbook_proto import prices_pb2

from gateway.api.http import Request, Response, json_response
from gateway.api.values import instant_s, instant_us, number
from gateway.domain.trades import delivery_start_s
from gateway.usecases.live import Prices


class PricesApi:
    """Handlers of the reference prices."""

    def __init__(self, prices: Prices) -> None:
        """Serve ``prices``."""
        self._prices = prices

    async def day(self, request: Request) -> Response:
        """``GET /reference-prices``."""
        area, delivery_day = request.params.get("area", DEFAULT_AREA), request.params["delivery_day"]
        reply = await self._prices.day(request.principal, delivery_day=delivery_day, area=area)
        body = {"delivery_day": delivery_day.isoformat(), "area": area, "prices": _rows(reply.prices)}
        return json_response(body)

    async def history(self, request: Request) -> Response:
        """``GET /reference-prices/{delivery_start}/history``."""
        area, start_s = request.params.get("area", DEFAULT_AREA), _start_s(request.params["delivery_start"])
        reply = await self._prices.history(request.principal, delivery_start_s=start_s, area=area)
        start = iso_z(from_epoch_s(start_s))
        return json_response({"delivery_start": start, "area": area, "prices": _rows(reply.prices)})


def _start_s(text: str) -> int:
    try:
        start = dt.datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        raise InvalidInput("delivery_start: expected a date-time with a zone (2023-02-28T13:00:00Z)")
    return delivery_start_s(start)


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
