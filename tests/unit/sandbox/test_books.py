"""What the simulated worlds write down: who got what, how many requests there were."""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.exchange.domain.trades import Trade
from sandbox.exchange.store import DIFFERENT, MISSING, SentLog
from sandbox.market.hours import tradable_hours
from sandbox.market_data.usecases.limits import Limits, Window

NOW = datetime(2023, 2, 6, 9, 31, tzinfo=UTC)
HOUR = tradable_hours(NOW)[0]


def _trade(seq: int) -> Trade:
    return Trade(seq, f"t_{seq}", 100, 100, "buy", HOUR, "trader_1", seq)


def _log(*, trades: int, keep: int = 100, connections: int = 1) -> SentLog:
    log = SentLog(keep=keep)
    for number in range(1, connections + 1):
        log.join(number, at=NOW)
    for seq in range(1, trades + 1):
        log.add(_trade(seq))
    return log


def test_a_trade_counts_listeners_once_and_copies_each_time() -> None:
    log = _log(trades=2, connections=2)

    log.handed(1, 1, size=10)
    log.handed(1, 2, size=10)
    log.handed(1, 1, size=10, again=True)

    counted = [(listeners, copies) for _, listeners, copies in log.page(after_seq=0, limit=9)]
    assert counted == [(2, 3), (0, 0)]
    assert log.heard == 1


def test_bytes_that_did_not_leave_are_taken_back_from_the_end() -> None:
    log = _log(trades=3)
    for seq, again in ((1, False), (2, False), (2, True), (0, False), (3, False)):
        log.handed(seq, 1, size=10, again=again)

    assert log.take_back(1, unsent_bytes=21) == 1  # the third, the one without a trade, a copy of the second

    counted = [(listeners, copies) for _, listeners, copies in log.page(after_seq=0, limit=9)]
    assert counted == [(1, 1), (1, 1), (0, 0)]
    assert log.heard == 2
    assert log.take_back(1, unsent_bytes=10_000) == 2
    assert log.heard == 0


def test_a_connection_that_lasts_for_weeks_remembers_no_more_than_there_is_to_say() -> None:
    log = _log(trades=1000)
    for seq in range(1, 1001):
        log.handed(seq, 1, size=10)

    (connection,) = log.connections()
    assert connection.frames == 1000
    assert len(connection.seqs) == len(connection.sizes) <= 200
    assert connection.seqs[-1] == 1000
    assert next(trade.seq for trade, _, _ in log.page(after_seq=0, limit=9, connection=1)) == log.first_seq


def test_old_trades_are_forgotten_and_the_others_keep_their_numbers() -> None:
    log = _log(trades=250)

    seqs = [trade.seq for trade, _, _ in log.page(after_seq=0, limit=1000)]
    assert seqs == list(range(log.first_seq, 251))
    assert 90 <= len(seqs) <= 100
    log.handed(1, 1, size=10)  # forgotten, and no harm
    log.handed(250, 1, size=10)
    assert [listeners for _, listeners, _ in log.page(after_seq=249, limit=1)] == [1]


def test_pages_meet_without_gap_or_overlap() -> None:
    log = _log(trades=10)
    for seq in (2, 3, 5, 8):
        log.handed(seq, 1, size=1)

    def ids(after: int, **query: int) -> list[int]:
        return [trade.seq for trade, _, _ in log.page(after_seq=after, limit=3, **query)]

    assert [ids(0), ids(3), ids(6), ids(9), ids(10)] == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10], []]
    assert [ids(0, least_listeners=1), ids(5, least_listeners=1)] == [[2, 3, 5], [8]]
    assert [ids(0, connection=1), ids(5, connection=1), ids(0, connection=2)] == [[2, 3, 5], [8], []]


def test_the_file_leaves_out_and_marks_what_it_should() -> None:
    log = SentLog(keep=100)
    for seq, mark in ((1, "as_sent"), (2, MISSING), (3, DIFFERENT), (4, "as_sent")):
        log.add(_trade(seq), file=mark)

    rows = SentLog.file_trades(log.snapshot(), 1, 4)

    assert [(trade.seq, mark) for trade, mark in rows] == [(1, "as_sent"), (3, DIFFERENT)]


def test_connections_tell_how_they_ended() -> None:
    log = _log(trades=0, connections=2)

    log.leave(1, at=NOW, ended_by="drop")

    assert [(each.number, each.ended_by, each.until) for each in log.connections()] == [
        (1, "drop", NOW),
        (2, "", None),
    ]


def test_a_window_slides() -> None:
    window = Window(limit=2, span_s=60)
    granted = []

    for at_s in (0.0, 30.0, 59.999, 60.0, 89.999, 90.0):
        granted.append(window.ask(at_s))
        if granted[-1]:
            window.grant(at_s)

    assert granted == [True, True, False, True, False, True]
    assert window.most_asked == 4  # from 30.0 to 89.999, the refused ones included


def test_a_refused_request_uses_up_neither_window() -> None:
    limits = Limits(per_minute=1, per_hour=2)

    admitted = [limits.admit(at_s) for at_s in (0.0, 1.0, 2.0, 60.0, 120.0, 3600.0)]

    assert admitted == [True, False, False, True, False, True]
    assert (limits.violations, limits.minute.violations, limits.hour.violations) == (3, 2, 1)
