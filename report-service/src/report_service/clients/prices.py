"""pricing-service, owner of the reference prices."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import grpc
from wattbook import rpc
from wattbook.clock import to_epoch_us
from wattbook.periods import DeliveryPeriod
from wattbook_proto import prices_pb2, prices_pb2_grpc

from report_service.domain.prices import DayKey, PollerState, ReferencePrice

_log = logging.getLogger(__name__)

DAY_TIMEOUT_S = 5.0
LOOK_TIMEOUT_S = 2.0
_US_PER_S = 1_000_000


def prices_of(messages: Iterable[prices_pb2.ReferencePrice]) -> list[ReferencePrice]:
    """Prices of the contract, in our words; what is no figure is left out and logged."""
    found: list[ReferencePrice] = []
    for each in messages:
        try:
            value = Decimal(each.value_eur_per_mwh)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite():
            _log.error("a price is no figure", extra={"value": each.value_eur_per_mwh[:40]})
            continue
        found.append(
            ReferencePrice(
                each.area,
                each.delivery_start_s,
                each.delivery_minutes,
                value,
                each.last_update_us,
                each.fetched_time_us,
                each.price_seq,
            )
        )
    return found


class PricingService:
    """Reference prices over gRPC. Every call raises Unavailable where pricing-service is away."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Call over ``channel``, which the caller closes."""
        self._stub: Any = prices_pb2_grpc.PricesStub(channel)  # type: ignore[no-untyped-call]

    def day(self, key: DayKey) -> tuple[list[ReferencePrice], int]:
        """The newest price of each period of a day that has one, and the last ``seq`` that this includes.

        Raises:
            Unavailable: not now.
            InvalidInput: the owner knows no such day.
        """
        request = prices_pb2.DayRequest(area=key.area, delivery_day=key.day.isoformat())
        reply = rpc.call(self._stub.Day, request, timeout_s=DAY_TIMEOUT_S)
        return prices_of(reply.prices), reply.as_of_seq

    def history(self, period: DeliveryPeriod) -> list[ReferencePrice]:
        """Every value that a period had, oldest first.

        Raises:
            Unavailable: not now.
        """
        request = prices_pb2.HistoryRequest(
            area=period.area,
            delivery_start_s=to_epoch_us(period.start) // _US_PER_S,
            delivery_minutes=period.minutes,
        )
        return prices_of(rpc.call(self._stub.History, request, timeout_s=LOOK_TIMEOUT_S).prices)

    def watch(self, area: str, starts_s: Sequence[int]) -> None:
        """Tell that somebody looks at these hours.

        Raises:
            Unavailable: not now.
        """
        request = prices_pb2.WatchRequest(area=area, delivery_start_s=starts_s)
        rpc.call(self._stub.Watch, request, timeout_s=LOOK_TIMEOUT_S)

    def state(self) -> PollerState:
        """How the poller is doing.

        Raises:
            Unavailable: not now.
        """
        reply = rpc.call(self._stub.Status, prices_pb2.StatusRequest(), timeout_s=LOOK_TIMEOUT_S)
        return PollerState(
            reply.minute_budget_left,
            reply.hour_budget_left,
            reply.cycle_start_s,
            reply.trouble,
            reply.trouble_since_us,
            reply.periods_tradable,
            reply.periods_fresh,
            reply.last_success_us,
        )
