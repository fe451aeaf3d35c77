"""What report-service relies on in pricing-service: the real one and the fake both keep it, over gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pricing_service.api import PricesServicer, price_events
from pricing_service.domain import Limits, NewPrice
from pricing_service.store import Note, PriceStore, Wishes
from report_service.clients.prices import PricingService
from report_service.domain.prices import DayKey
from wattbook import rpc
from wattbook.clock import FakeClock
from wattbook.db import migrate, open_store
from wattbook.errors import InvalidInput
from wattbook.walls import OPEN
from wattbook_proto import prices_pb2
from wattbook_proto.prices_pb2_grpc import PricesStub, add_PricesServicer_to_server

from tests.support.ports import free_port
from tests.unit.report_service.fakes import DAY, NOW, FakePriceOwner, FakePrices, start_s

KEY = DayKey("DE", DAY)
Publish = Callable[[int, str, int], None]


def real(folder: Path) -> tuple[Any, Publish, Callable[[], None]]:
    database = open_store(f"sqlite:///{folder}/pricing.db", name="pricing")
    migrate(database, "pricing_service")
    store = PriceStore(database, announce=price_events)

    def publish(hour: int, value: str, at_s: int) -> None:
        made = NewPrice(start_s(DAY, hour), value, at_s * 1_000_000, (at_s + 1) * 1_000_000)
        store.note(Note(prices=[made]))

    servicer = PricesServicer(
        store=store,
        wishes=Wishes(database),
        clock=FakeClock(NOW),
        limits=Limits(),
        leads=lambda: True,
        watch_s=60,
    )
    return servicer, publish, database.close


def fake(_folder: Path) -> tuple[Any, Publish, Callable[[], None]]:
    owner = FakePriceOwner()
    return FakePrices(owner), lambda hour, value, at_s: owner.publish(hour, value, at_s=at_s), lambda: None


class Served:
    """A servicer behind a port, and our client of it."""

    def __init__(self, made: tuple[Any, Publish, Callable[[], None]]) -> None:
        servicer, self.publish, self._close = made
        target = f"127.0.0.1:{free_port()}"
        self._server = rpc.Server(target, guard=OPEN, workers=2)
        self._server.register(add_PricesServicer_to_server, servicer, rules={})
        self._server.start()
        self._channel = rpc.channel(target)
        self.stub = PricesStub(self._channel)
        self.client = PricingService(self._channel)

    def close(self) -> None:
        self._channel.close()
        self._server.stop(0)
        self._close()


@pytest.fixture(params=[real, fake], ids=["real", "fake"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    made = Served(request.param(tmp_path))
    yield made
    made.close()


def test_a_day_has_the_newest_price_of_each_period_and_says_through_which_number(served: Served) -> None:
    assert served.client.day(KEY) == ([], 0)
    served.publish(14, "50", 1_677_580_000)
    served.publish(14, "-51.25", 1_677_580_600)
    served.publish(15, "0", 1_677_580_600)

    prices, as_of_seq = served.client.day(KEY)

    found = {each.delivery_start_s: each for each in prices}
    newest = found[start_s(DAY, 14)]
    assert as_of_seq == 3
    assert newest.value_eur_per_mwh == Decimal("-51.25")
    assert (newest.area, newest.delivery_minutes, newest.seq) == ("DE", 60, 2)
    assert newest.last_update_us == 1_677_580_600_000_000
    assert newest.fetched_us == 1_677_580_601_000_000
    assert found[start_s(DAY, 15)].value_eur_per_mwh == 0
    assert len(found) == 2


def test_hours_can_be_watched_and_the_state_can_be_asked(served: Served) -> None:
    served.client.watch("DE", [start_s(DAY, hour) for hour in range(24)])

    state = served.client.state()

    assert (state.minute_budget_left, state.hour_budget_left, state.trouble) == (50, 1000, "")


def test_what_is_no_day_is_refused(served: Served) -> None:
    with pytest.raises(InvalidInput):
        rpc.call(served.stub.Day, prices_pb2.DayRequest(area="DE", delivery_day="yesterday"))
