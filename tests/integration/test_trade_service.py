"""trade-service through its gRPC door, on a real store and bus."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from trade_service.api import rpc as api
from trade_service.app import App
from trade_service.domain import Source, trade_of
from trade_service.store.tables import metadata
from trade_service.usecases import Sender, questions
from wattbook import rpc
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.errors import InvalidInput, Unavailable
from wattbook_proto import trades_pb2

from tests.integration.trade_process import (
    ADDED,
    CONFLICT,
    DUPLICATE,
    EXECUTED_US,
    INVALID,
    Caller,
    Listener,
    running,
    settings,
    stated,
)
from tests.support.engines import NewStoreUrl
from tests.support.waiting import wait_until

NOW = datetime(2023, 2, 28, 11, 12, 36, 500_000, tzinfo=UTC)


@pytest.fixture
def store_url(new_store_url: NewStoreUrl) -> str:
    return new_store_url("trade")


@pytest.fixture
def service(tmp_path: Path, store_url: str) -> Iterator[tuple[App, Caller]]:
    with running(tmp_path, clock=FakeClock(NOW), store_url=store_url) as found:
        yield found


def book_unchecked(app: App, row: trades_pb2.TradeToBook) -> None:
    """As a version that knew no rule for names booked it."""
    trade = trade_of(
        trade_id=row.id, price_ct_per_mwh=row.price_ct_per_mwh, quantity_kw=row.quantity_kw,
        direction=row.direction, area=row.area, delivery_day=row.delivery_day,
        delivery_hour=row.delivery_hour, delivery_start_s=None, trader_id=row.trader_id,
        execution_time_us=row.execution_time_us,
    )  # fmt: skip
    app.booker.book([trade], sender=Sender(int(Source.REST)), timeout_s=10)


@pytest.fixture
def app(service: tuple[App, Caller]) -> App:
    return service[0]


@pytest.fixture
def caller(service: tuple[App, Caller]) -> Caller:
    return service[1]


# SQLite's index and PostgreSQL's.
BY_EXECUTION = ("ix_trades_execution_hour", "ix_trades_execution_time")


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_migrations_make_the_tables_that_the_code_uses(app: App):
    with app.store.read() as connection:
        context = MigrationContext.configure(
            connection,
            # Alembic compares those of the other engine too; so by name, below.
            opts={
                "target_metadata": metadata,
                "include_object": lambda _, name, *__: name not in BY_EXECUTION,
            },
        )
        differences = compare_metadata(context, metadata)
        is_sqlite = connection.dialect.name == "sqlite"
        names = "name FROM sqlite_master" if is_sqlite else "indexname FROM pg_indexes"
        made = {row[0] for row in connection.exec_driver_sql(f"SELECT {names}")}

    assert differences == []
    found = {name for name in made if name and name.startswith("ix_trades_")}
    assert found == {"ix_trades_trader_day", BY_EXECUTION[0 if is_sqlite else 1]}


def test_a_booked_trade_is_found_as_it_was_stated(caller: Caller):
    assert caller.results(stated("t_123")) == [ADDED]

    (page,) = caller.pages()
    assert page.epoch
    assert page.digest
    assert page == trades_pb2.TradePage(
        as_of_seq=1,
        epoch=page.epoch,
        digest=page.digest,
        trades=[
            trades_pb2.BookedTrade(
                booking_seq=1,
                id="t_123",
                price_ct_per_mwh=120,
                quantity_kw=12_000,
                direction=trades_pb2.SELL,
                area="DE",
                delivery_start_s=1677589200,
                delivery_minutes=60,
                trader_id="trader_1",
                execution_time_us=EXECUTED_US,
                booked_time_us=to_epoch_us(NOW),
                source=trades_pb2.REST,
                author="anybody",
            )
        ],
        next_after_seq=0,
    )


def test_a_name_that_looks_like_another_is_not_booked_anew_and_its_character_is_named(caller: Caller):
    reply = caller.book(
        stated("p_1"), stated("p_1 "), stated("p_\u200b1"), stated("p_2", trader_id="trader_1\u00a0"),
        stated("p_2"), stated("p_3", trader_id=".."),
    )  # fmt: skip

    assert list(reply.results) == [ADDED, INVALID, INVALID, INVALID, ADDED, INVALID]
    assert reply.reasons[1] == "id: character 4 (U+0020 SPACE) stands at the end"
    assert reply.reasons[2] == "id: character 3 (U+200B ZERO WIDTH SPACE) cannot be seen"
    assert reply.reasons[3] == "trader_id: character 9 (U+00A0 NO-BREAK SPACE) cannot be seen"
    assert caller.ids() == ["p_1", "p_2"]


def test_what_was_booked_before_there_was_a_rule_for_names_stays_readable_and_repeats_as_a_duplicate(
    app: App, caller: Caller
):
    padded = stated("p_1 ", trader_id="trader_1\u00a0")
    book_unchecked(app, padded)

    reply = caller.book(
        padded, stated("p_1 ", trader_id="trader_1\u00a0", price_ct_per_mwh=1), stated("p_1 ")
    )

    assert caller.ids(trader_id="trader_1\u00a0") == ["p_1 "]
    assert list(reply.results) == [DUPLICATE, INVALID, INVALID]


def test_each_row_has_its_own_result_in_the_order_of_the_request(caller: Caller):
    caller.results(stated("known"))

    reply = caller.book(
        stated("bad_1", quantity_kw=0),
        stated("new"),
        stated("known"),
        stated("bad_2", delivery_day="2023-03-26", delivery_hour=2),
        stated("known", price_ct_per_mwh=1),
        stated("new"),
        stated("", direction=trades_pb2.DIRECTION_UNSPECIFIED),
    )

    assert list(reply.results) == [INVALID, ADDED, DUPLICATE, INVALID, CONFLICT, DUPLICATE, INVALID]
    assert set(reply.reasons) == {0, 3, 4, 6}
    assert reply.reasons[0].startswith("quantity must be above 0")
    assert reply.reasons[3].startswith("2023-03-26 has no hour 02–03")
    assert reply.reasons[4] == "already booked with another price"
    assert reply.reasons[6] == "id is empty"
    assert caller.ids() == ["known", "new"]


def test_a_request_of_nothing_but_invalid_rows_books_nothing(caller: Caller):
    assert caller.results(stated("a", area="XX"), stated("b", delivery_hour=24)) == [INVALID, INVALID]
    assert caller.results() == []
    assert caller.ids() == []


def test_an_unknown_source_is_refused_whole(caller: Caller):
    request = trades_pb2.BookRequest(trades=[stated("a")], source=9)  # type: ignore[arg-type]

    with pytest.raises(InvalidInput, match="unknown source"):
        rpc.call(caller.stub.Book, request, timeout_s=10)

    assert caller.ids() == []


def test_flags_are_served_by_name(caller: Caller):
    caller.results(
        stated("fine"),
        stated("late", execution_time_us=EXECUTED_US + 86_400_000_000),
        stated("odd", quantity_kw=12_345, price_ct_per_mwh=-1_000_000),
        stated("which", delivery_day="2023-10-29", delivery_hour=2),
        stated("second", delivery_day="2023-10-29", delivery_hour=2, delivery_start_s=1698541200),
    )

    flags = {trade.id: list(trade.flags) for trade in caller.found()}
    assert flags == {
        "fine": [],
        "late": ["late"],
        "odd": ["off_tick", "out_of_range"],
        "which": ["ambiguous"],
        "second": [],
    }
    starts = {trade.id: trade.delivery_start_s for trade in caller.found(delivery_day="2023-10-29")}
    assert starts == {"which": 1698537600, "second": 1698541200}


@pytest.mark.parametrize("same", [True, False])
def test_fifty_clients_racing_for_one_id_add_one_trade(caller: Caller, same: bool):
    start = threading.Barrier(50)

    def race(number: int) -> list[int]:
        trade = stated("t_1", price_ct_per_mwh=120 if same else number)
        start.wait()
        return caller.results(trade)

    with ThreadPoolExecutor(50) as threads:
        answers = sorted(threads.map(race, range(50)))

    assert answers == [[ADDED]] + [[DUPLICATE if same else CONFLICT]] * 49
    assert caller.ids() == ["t_1"]


DAY_S = 1_677_542_400  # 2023-02-28 in UTC; a trade is at 14–15 in Berlin, 13–14 in UTC, unless told
SEARCHED = [
    ("a1", {"trader_id": "a"}),
    ("b1", {"trader_id": "b"}),
    ("a2", {"trader_id": "a", "delivery_day": "2023-03-01", "delivery_hour": 0}),
    ("a3", {"trader_id": "a", "area": "GB", "delivery_hour": 23}),
    ("b2", {"trader_id": "b", "delivery_day": "2023-03-01", "execution_time_us": EXECUTED_US + 1}),
    ("a4", {"trader_id": "a", "area": "GB", "delivery_day": "2023-03-01", "delivery_hour": 0}),
    ("c1", {"trader_id": "c", "execution_time_us": EXECUTED_US + 7_200_000_000}),
]


@pytest.mark.parametrize(
    ("criteria", "ids"),
    [
        ({}, ["a1", "b1", "a2", "a3", "b2", "a4", "c1"]),
        ({"trader_id": "a"}, ["a1", "a2", "a3", "a4"]),
        ({"trader_id": "nobody"}, []),
        ({"delivery_day": "2023-02-28"}, ["a1", "b1", "a3", "c1"]),
        ({"delivery_day": "2023-03-01"}, ["a2", "b2", "a4"]),
        ({"delivery_day": "2023-03-02"}, []),
        ({"area": "GB"}, ["a3", "a4"]),
        ({"area": "AT"}, []),
        ({"delivery_day": "2023-03-01", "area": "DE"}, ["a2", "b2"]),
        ({"trader_id": "a", "delivery_day": "2023-03-01"}, ["a2", "a4"]),
        ({"trader_id": "a", "delivery_day": "2023-03-01", "area": "GB"}, ["a4"]),
        ({"executed_from_us": EXECUTED_US + 1}, ["b2", "c1"]),
        ({"executed_before_us": EXECUTED_US + 1}, ["a1", "b1", "a2", "a3", "a4"]),
        ({"executed_before_us": EXECUTED_US}, []),
        ({"executed_from_us": EXECUTED_US, "executed_before_us": EXECUTED_US + 1, "trader_id": "b"}, ["b1"]),
        ({"executed_from_us": EXECUTED_US + 1, "delivery_day": "2023-02-28"}, ["c1"]),
        ({"executed_from_us": -(2**63), "executed_before_us": 2**63 - 1, "trader_id": "c"}, ["c1"]),
        (
            {"trader_id": "a", "delivery_from_s": DAY_S + 13 * 3600, "delivery_before_s": DAY_S + 14 * 3600},
            ["a1"],
        ),
        ({"delivery_from_s": DAY_S + 14 * 3600, "delivery_before_s": DAY_S + 23 * 3600}, []),
        ({"delivery_from_s": DAY_S + 23 * 3600}, ["a2", "a3", "b2", "a4"]),
        ({"after_seq": 5}, ["a4", "c1"]),
        ({"after_seq": 7}, []),
        ({"after_seq": 2**64 - 1}, []),
        ({"trader_id": "a", "after_seq": 1, "limit": 2}, ["a2", "a3"]),
    ],
)
def test_criteria_combine(caller: Caller, criteria: dict[str, Any], ids: list[str]):
    caller.results(*(stated(trade_id, **changes) for trade_id, changes in SEARCHED))

    assert caller.ids(**criteria) == ids


@pytest.mark.parametrize(
    ("criteria", "reason"),
    [
        ({"delivery_day": "2023-02-30"}, "does not exist"),
        ({"delivery_day": "yesterday"}, "YYYY-MM-DD"),
        ({"area": "XX"}, "unknown area"),
        ({"trader_id": "a\0b"}, "control characters"),
    ],
)
def test_a_question_that_means_nothing_is_refused(caller: Caller, criteria: dict[str, Any], reason: str):
    with pytest.raises(InvalidInput, match=reason):
        caller.pages(**criteria)


def test_an_empty_answer_is_one_empty_page(caller: Caller):
    for booked in range(2):
        (page,) = caller.pages(trader_id="nobody")
        assert (list(page.trades), page.next_after_seq, page.as_of_seq) == ([], 0, booked)
        caller.results(stated("a"))


@pytest.mark.parametrize("criteria", [{}, {"trader_id": "a"}, {"delivery_day": "2023-02-28"}])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 11, 40])
def test_paging_by_limit_skips_and_repeats_nothing(caller: Caller, criteria: dict[str, Any], limit: int):
    caller.results(*(stated(f"t_{n}", trader_id="a" if n % 2 else "b") for n in range(20)))
    expected = caller.ids(**criteria)

    seen: list[str] = []
    after_seq, calls = 0, 0
    while True:
        pages = caller.pages(**criteria, after_seq=after_seq, limit=limit)
        seen.extend(trade.id for page in pages for trade in page.trades)
        after_seq, calls = pages[-1].next_after_seq, calls + 1
        if not after_seq:
            break

    assert seen == expected
    assert calls == -(-len(expected) // limit)


@pytest.mark.parametrize("criteria", [{}, {"trader_id": "trader_1"}, {"executed_from_us": 0}])
def test_a_stream_in_many_pages_is_whole_and_in_order(
    caller: Caller, criteria: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(questions, "PAGE_TRADES", 7)
    monkeypatch.setattr(questions, "PLACES_AT_ONCE", 20)
    caller.results(*(stated(f"t_{n}") for n in range(100)))

    pages = caller.pages(**criteria)

    assert [trade.booking_seq for page in pages for trade in page.trades] == list(range(1, 101))
    assert [page.next_after_seq for page in pages] == [page.trades[-1].booking_seq for page in pages[:-1]] + [
        0
    ]
    limited = caller.pages(**criteria, limit=33)
    assert [trade.booking_seq for page in limited for trade in page.trades] == list(range(1, 34))
    assert limited[-1].next_after_seq == 33
    assert caller.pages(**criteria, limit=100)[-1].next_after_seq == 0


def test_a_search_ends_although_bookings_go_on(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(questions, "PAGE_TRADES", 2)
    monkeypatch.setattr(questions, "PLACES_AT_ONCE", 4)
    caller.results(*(stated(f"t_{n}") for n in range(10)))

    stream = caller.stub.Search(trades_pb2.SearchRequest(), timeout=30)
    ids = [trade.id for trade in next(stream).trades]
    caller.results(*(stated(f"u_{n}") for n in range(10)))
    ids.extend(trade.id for page in stream for trade in page.trades)

    assert ids == [f"t_{n}" for n in range(10)]


@pytest.fixture
def few_streams(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[App, Caller]]:
    """A service with 4 places for streams, and more in its book than a stream sends unread."""
    monkeypatch.setattr(api, "STREAMS", 4)
    monkeypatch.setattr(questions, "PAGE_TRADES", 500)
    with running(tmp_path, store_url=store_url) as (app, caller):
        for start in range(0, 100_000, 10_000):
            caller.results(*(stated(f"t_{n}", trader_id="x" * 60) for n in range(start, start + 10_000)))
        yield app, caller


@pytest.mark.slow
def test_streams_that_are_cancelled_leave_nothing_behind(
    few_streams: tuple[App, Caller], capfd: pytest.CaptureFixture[str]
):
    app, caller = few_streams

    def begun() -> Any:
        stream = caller.stub.Search(trades_pb2.SearchRequest(), timeout=30)
        next(stream)
        return stream

    for _ in range(12):
        wait_until(begun, timeout_s=20, what="a place is free").cancel()

    wait_until(lambda: len(caller.ids(limit=5)) == 5, timeout_s=20, what="a search finds a free place")
    pool: Any = app.store.engine.pool
    wait_until(lambda: pool.checkedout() == 0, timeout_s=20, what="every connection is back")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_more_streams_than_there_are_places_are_told_to_come_again(few_streams: tuple[App, Caller]):
    _, caller = few_streams
    slow = [caller.stub.Search(trades_pb2.SearchRequest(), timeout=60) for _ in range(4)]
    for each in slow:
        next(each)

    with pytest.raises(Unavailable, match="too many searches") as refused:
        caller.pages()
    booked = caller.results(stated("meanwhile"))
    for each in slow:
        each.cancel()

    assert refused.value.retry_after_s == 1
    assert booked == [ADDED]
    wait_until(lambda: caller.ids(limit=1), timeout_s=20, what="a search finds a free place")


def test_positions_sum_up_each_trader_and_period(caller: Caller):
    buy, sell = trades_pb2.BUY, trades_pb2.SELL
    caller.results(
        stated("1", direction=sell, quantity_kw=10_000, price_ct_per_mwh=6_000),
        stated("2", direction=buy, quantity_kw=4_000, price_ct_per_mwh=-4_500),
        stated("3", direction=buy, quantity_kw=100, price_ct_per_mwh=3, execution_time_us=EXECUTED_US + 5),
        stated("4", trader_id="trader_2"),
        stated("5", delivery_hour=15),
        stated("6", area="AT"),
    )

    (page,) = caller.positions()

    assert page.as_of_seq == 6
    assert [(each.trader_id, each.area, each.delivery_start_s, each.trades) for each in page.positions] == [
        ("trader_1", "AT", 1677589200, 1),
        ("trader_1", "DE", 1677589200, 3),
        ("trader_2", "DE", 1677589200, 1),
        ("trader_1", "DE", 1677592800, 1),
    ]
    assert page.positions[1] == trades_pb2.Position(
        trader_id="trader_1",
        area="DE",
        delivery_start_s=1677589200,
        delivery_minutes=60,
        trades=3,
        buy_kw=4_100,
        sell_kw=10_000,
        buy_ct_kw_per_mwh=str(-4_500 * 4_000 + 300),
        sell_ct_kw_per_mwh=str(60_000_000),
        last_execution_time_us=EXECUTED_US + 5,
    )


def test_an_empty_book_has_one_empty_page_of_positions(caller: Caller):
    (page,) = caller.positions()

    assert (list(page.positions), page.as_of_seq) == ([], 0)
    assert page.epoch
    assert page.digest


@pytest.mark.parametrize("price", [2**31 - 1, -(2**31), -1, 999_999_999])
def test_sums_beyond_64_bits_are_exact(caller: Caller, price: int):
    quantity = 999_999_999
    caller.results(
        *(stated(f"t_{n}", price_ct_per_mwh=price, quantity_kw=quantity - n % 3) for n in range(30)),
        stated("small", price_ct_per_mwh=-7, quantity_kw=1),
    )

    (position,) = caller.positions()[0].positions

    exact = sum(price * (quantity - n % 3) for n in range(30)) - 7
    assert position.sell_ct_kw_per_mwh == str(exact)
    assert position.sell_kw == sum(quantity - n % 3 for n in range(30)) + 1


def test_positions_in_many_pages_share_one_moment(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(questions, "PAGE_POSITIONS", 3)
    caller.results(*(stated(f"t_{n}", trader_id=f"trader_{n:02}") for n in range(10)))

    stream = caller.stub.Positions(trades_pb2.PositionsRequest(), timeout=30)
    pages = [next(stream)]
    caller.results(stated("later", trader_id="trader_99"))
    pages.extend(stream)

    assert [len(page.positions) for page in pages] == [3, 3, 3, 1]
    assert {page.as_of_seq for page in pages} == {10}


def test_events_on_the_bus_match_the_book(tmp_path: Path, store_url: str):
    listener = Listener(settings(tmp_path).bus_url)
    with running(tmp_path, store_url=store_url) as (_, caller), ThreadPoolExecutor(8) as threads:
        requests = [[stated(f"t_{start + n}") for n in range(start % 7 + 1)] for start in range(0, 400, 5)]
        list(threads.map(lambda trades: caller.results(*trades), requests))
        caller.results(stated("which", delivery_day="2023-10-29", delivery_hour=2))
        booked = {trade.booking_seq: trade for trade in caller.announced()}
        heard = listener.hear_until(len(booked))

    assert heard == booked
    assert len(listener.heard) == len(booked)
    listener.close()


def test_a_bus_that_is_down_does_not_stop_bookings(tmp_path: Path, store_url: str):
    with running(tmp_path, store_url=store_url) as (app, caller):
        app.bus.close()

        assert caller.results(stated("t_1"), stated("t_2")) == [ADDED, ADDED]
        assert app.relay.depth() == 1

    listener = Listener(settings(tmp_path).bus_url)
    with running(tmp_path, store_url=store_url) as (_, caller):
        assert [trade.id for trade in listener.hear_until(2).values()] == ["t_1", "t_2"]
    listener.close()


def test_a_deadline_that_has_passed_is_an_honest_refusal(app: App, caller: Caller):
    with app.store.write(), pytest.raises(Unavailable, match=r"in time|too long"):
        caller.book(stated("t_1"), timeout_s=0.3)

    wait_until(lambda: caller.results(stated("t_2")) == [ADDED], timeout_s=20, what="bookings work again")


def test_the_database_itself_refuses_what_breaks_the_book(app: App, caller: Caller):
    caller.results(stated("t_1"))
    copy = "INSERT INTO trades SELECT {} FROM trades"
    columns = [column.name for column in metadata.tables["trades"].columns]

    for changed, value in [
        ("booking_seq", "1"),
        ("trade_id", "'t_1'"),
        ("quantity_kw", "0"),
        ("direction", "3"),
        ("price_ct_per_mwh", "2147483648"),
        ("delivery_minutes", "45"),
    ]:
        fresh = {"booking_seq": "2", "trade_id": "'t_2'", changed: value}
        chosen = ", ".join(fresh.get(name, name) for name in columns)
        with pytest.raises(sa.exc.IntegrityError), app.store.write() as connection:
            connection.exec_driver_sql(copy.format(chosen))

    assert caller.ids() == ["t_1"]


def test_an_rpc_without_a_deadline_is_still_answered(caller: Caller):
    request = trades_pb2.BookRequest(trades=[stated("t_1")])

    assert list(caller.stub.Book(request).results) == [ADDED]


def test_a_closed_channel_mid_request_does_not_hurt_others(app: App, caller: Caller):
    with app.store.write():
        call = caller.stub.Book.future(trades_pb2.BookRequest(trades=[stated("t_1")]), timeout=30)
        call.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        call.result()

    assert caller.results(stated("t_2")) == [ADDED]
