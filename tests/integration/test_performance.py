"""report-service measures trades against reference prices: real trade-service, real bus, prices over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from wattbook_proto import reports_pb2

from tests.integration.trio import Trio, sale
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow  # a process each


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    made = Trio(tmp_path)
    yield made
    made.close()


def test_a_price_known_before_and_one_announced_after_both_count(trio: Trio) -> None:
    trio.serve_prices()
    trio.owner.publish(14, "1.00", at_s=1_677_580_000)
    trio.reports.start()
    trio.caller.book(sale(1))

    total = trio.wait_for("0.20")
    assert (total.edge_eur, total.light) == ("2.40", reports_pb2.GREEN)

    trio.tell(trio.owner.publish(14, "1.50", at_s=1_677_580_600))
    total = trio.wait_for("-0.30")
    assert (total.edge_eur, total.light) == ("-3.60", reports_pb2.RED)
    assert total.reference_last_update_us == 1_677_580_600_000_000


def test_prices_survive_their_owners_absence_and_nothing_goes_blank(trio: Trio) -> None:
    trio.serve_prices()
    trio.owner.publish(14, "1.00", at_s=1_677_580_000)
    trio.reports.start()
    trio.caller.book(sale(1))
    trio.wait_for("0.20")

    trio.stop_prices()
    trio.caller.book(sale(2))
    wait_until(lambda: trio.total().pnl.trades == 2, timeout_s=20, what="the trade is counted")
    assert trio.total().delta_eur_per_mwh == "0.20"
    trio.owner.publish(14, "1.10", at_s=1_677_580_600)  # not announced

    trio.serve_prices()
    trio.wait_for("0.10")


def test_reports_come_without_prices_before_their_owner_is_there(trio: Trio) -> None:
    trio.reports.start()
    trio.caller.book(sale(1))
    trio.reports.wait_for(1)
    assert trio.total().grey_reason == "no reference price"

    trio.owner.publish(14, "1.00", at_s=1_677_580_000)
    trio.serve_prices()

    trio.wait_for("0.20")


def test_it_stops_in_order_also_while_the_prices_owner_is_away(trio: Trio) -> None:
    trio.reports.start()
    trio.total()

    assert trio.reports.stop() == 0
    assert "Traceback" not in trio.reports.log()


def test_hours_looked_at_are_reported_to_the_prices_owner(trio: Trio) -> None:
    trio.serve_prices()
    trio.reports.start()
    trio.total()

    wait_until(lambda: len(trio.owner.watched) == 24, timeout_s=20, what="the day is watched")


def test_the_first_look_at_a_day_has_its_prices(trio: Trio) -> None:
    trio.serve_prices()
    trio.owner.publish(14, "1.00", at_s=1_677_580_000)
    trio.caller.book(sale(1))
    trio.reports.start()
    trio.reports.wait_for(1)  # asks for no price

    assert trio.total().delta_eur_per_mwh == "0.20"


def test_who_asks_for_an_answer_now_is_told_that_prices_are_on_their_way(trio: Trio) -> None:
    trio.serve_prices()
    trio.owner.publish(14, "1.00", at_s=1_677_580_000)
    trio.caller.book(sale(1))
    trio.reports.start()
    trio.reports.wait_for(1)

    first = trio.answer(now=True)

    assert (first.loading, first.total.reference_eur_per_mwh) == (True, "")
    trio.wait_for("0.20")
    assert not trio.answer(now=True).loading
