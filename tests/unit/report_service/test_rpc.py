"""The gRPC door's translations."""

from __future__ import annotations

import pytest
from report_service.api.measured import desk, performance
from report_service.api.rpc import pnl
from report_service.domain.prices import DayKey
from report_service.usecases.follow import Follower
from report_service.usecases.model import ReadModel
from report_service.usecases.performance import Performances
from report_service.usecases.prices import PriceBoard
from wattbook.clock import FakeClock
from wattbook.errors import InvalidInput, Unavailable
from wattbook_proto import reports_pb2
from wattbook_proto.reports_pb2 import DeskRequest, PerformanceRequest, PnlAnswer, PnlQuery, PnlRequest

from tests.unit.report_service.fakes import DAY, NOW, FakeTradeBook, booking, price


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


class TestPerformance:
    @pytest.fixture
    def performances(self, model: ReadModel) -> Performances:
        board = PriceBoard(FakeClock(NOW))
        board.prices(DayKey("DE", DAY))
        board.offer([price(14, "50")])
        return Performances(model, board)

    def test_figures_are_plain_decimal_texts_and_empty_where_undefined(
        self, performances: Performances
    ) -> None:
        (answer,) = performance(performances, PerformanceRequest(queries=[QUERY])).answers
        row, idle = answer.rows[14], answer.rows[3]

        assert (answer.area, answer.time_zone, len(answer.rows)) == ("DE", "Europe/Berlin", 24)
        assert (row.pnl.label, row.pnl.pnl_eur, row.open_mwh) == ("14–15", "549.38", "-8.875")
        assert (row.average_eur_per_mwh, row.reference_eur_per_mwh) == ("58.48", "50.00")
        assert (row.average_buy_eur_per_mwh, row.average_sell_eur_per_mwh) == ("45.00", "60.00")
        assert (row.delta_eur_per_mwh, row.light, row.grey_reason) == ("8.48", reports_pb2.GREEN, "")
        assert row.edge_eur == "105.62"
        assert row.reference_last_update_us == 1_677_580_000_000_000
        assert row.reference_fetched_us == 1_677_580_001_000_000
        assert (idle.light, idle.grey_reason, idle.edge_eur) == (reports_pb2.GREY, "no trades", "")
        assert (idle.average_eur_per_mwh, idle.reference_eur_per_mwh, idle.open_mwh) == ("", "", "0")
        assert answer.total.delta_eur_per_mwh == "8.48"
        assert answer.total.reference_last_update_us == row.reference_last_update_us

    def test_a_known_version_is_answered_without_rows_and_errors_stand_alone(
        self, performances: Performances
    ) -> None:
        bad = PnlQuery(trader_id="trader_1", delivery_day="2023-02-30")
        full, error = performance(performances, PerformanceRequest(queries=[QUERY, bad])).answers
        known = PnlQuery(trader_id="trader_1", delivery_day="2023-02-28", known_version=full.version)

        (unchanged,) = performance(performances, PerformanceRequest(queries=[known])).answers
        assert (unchanged.unchanged, len(unchanged.rows), unchanged.version) == (True, 0, full.version)
        assert "2023-02-30" in error.error

        performances.board.offer([price(15, "1", seq=2)])
        (changed,) = performance(performances, PerformanceRequest(queries=[known])).answers
        assert not changed.unchanged

    def test_a_desk_has_a_line_a_trader_and_a_total(
        self, performances: Performances, model: ReadModel
    ) -> None:
        model.apply([booking(3, trader="a", buy=False, mw=1, eur=70, hour=2)])
        answer = desk(performances, DeskRequest(delivery_day="2023-02-28"))

        assert [row.trader_id for row in answer.rows] == ["a", "trader_1"]
        first, second = answer.rows
        assert (first.figures.pnl.pnl_eur, first.figures.grey_reason) == ("70.00", "no reference price")
        assert first.cumulative_pnl_eur[1:4] == ["0.00", "70.00", "70.00"]
        assert first.last_trade_us == booking(3).execution_time_us
        assert second.figures.edge_eur == "105.62"
        assert (answer.total.figures.pnl.trades, answer.total.figures.pnl.pnl_eur) == (3, "619.38")
        assert answer.total.figures.edge_eur == "105.62"

        known = DeskRequest(delivery_day="2023-02-28", known_version=answer.version)
        assert desk(performances, known).unchanged

    def test_a_desk_of_no_day_is_refused(self, performances: Performances) -> None:
        with pytest.raises(InvalidInput, match="2023-02-30"):
            desk(performances, DeskRequest(delivery_day="2023-02-30"))
