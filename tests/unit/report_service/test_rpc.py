"""The gRPC door's translations."""

from __future__ import annotations

import pytest
from report_service.api.rpc import pnl
from report_service.usecases.follow import Follower
from report_service.usecases.model import ReadModel
from wattbook.clock import FakeClock
from wattbook.errors import Unavailable
from wattbook_proto.reports_pb2 import PnlAnswer, PnlQuery, PnlRequest

from tests.unit.report_service.fakes import NOW, FakeTradeBook, booking


@pytest.fixture
def model() -> ReadModel:
    clock = FakeClock(NOW)
    made = ReadModel(clock)
    trades = [booking(1, buy=False, mw=10, eur=60), booking(2, mw=4.5, eur=45, minutes=15)]
    Follower(made, FakeTradeBook(trades), clock).start_over()
    return made


def ask(model: ReadModel, *queries: PnlQuery) -> list[PnlAnswer]:
    return list(pnl(model, PnlRequest(queries=queries)).answers)


QUERY = PnlQuery(trader_id="trader_1", delivery_day="2023-02-28")


def test_figures_are_plain_decimal_texts(model: ReadModel) -> None:
    (answer,) = ask(model, QUERY)
    row = answer.rows[14]

    assert (answer.area, answer.time_zone, len(answer.rows)) == ("DE", "Europe/Berlin", 24)
    assert (row.label, row.delivery_hour, row.delivery_minutes) == ("14–15", 14, 60)
    assert row.delivery_start_s == 1_677_589_200
    assert (row.trades, row.buy_mw, row.sell_mw) == (2, "4.5", "10")
    assert (row.buy_mwh, row.sell_mwh, row.pnl_eur) == ("1.125", "10", "549.38")
    assert (answer.total.label, answer.total.pnl_eur, answer.rows[0].pnl_eur) == ("", "549.38", "0.00")


def test_answers_come_in_the_order_of_the_queries_and_errors_stand_alone(model: ReadModel) -> None:
    bad_day = PnlQuery(trader_id="trader_1", delivery_day="2023-02-30")
    bad_area = PnlQuery(trader_id="trader_1", delivery_day="2023-02-28", area="XX")
    stranger = PnlQuery(trader_id="nobody", delivery_day="2023-02-28")
    answers = ask(model, bad_day, QUERY, bad_area, stranger)

    assert [bool(answer.error) for answer in answers] == [True, False, True, False]
    assert "2023-02-30" in answers[0].error
    assert "unknown area" in answers[2].error
    assert answers[1].total.trades == 2
    assert answers[3].total.trades == 0
    assert not answers[0].rows


def test_a_known_version_is_answered_without_rows(model: ReadModel) -> None:
    (full,) = ask(model, QUERY)
    known = PnlQuery(trader_id="trader_1", delivery_day="2023-02-28", known_version=full.version)
    (unchanged,) = ask(model, known)

    assert unchanged.unchanged
    assert unchanged.version == full.version
    assert not unchanged.rows

    model.apply([booking(3)])
    (changed,) = ask(model, known)
    assert not changed.unchanged
    assert changed.total.trades == 3


def test_it_is_unavailable_before_the_first_snapshot() -> None:
    with pytest.raises(Unavailable):
        ask(ReadModel(FakeClock(NOW)), QUERY)
