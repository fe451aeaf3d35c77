"""The nightly file against what any node heard: what the book has from the feed counts as delivered."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ingest_service.clients import Book, DropFolder, SourceFile
from ingest_service.clients.book import confirmed
from ingest_service.domain import (
    ConfirmedTrade,
    Difference,
    ListedRow,
    NotYet,
    Reconciliation,
    Verdict,
    execution_day,
    kept_content,
    read_frame,
)
from ingest_service.store import FeedDays, Spool, Spooled
from ingest_service.store.spool import add_feed_trades, known_contents
from ingest_service.store.tables import FEED_TRADES
from ingest_service.usecases import HeardElsewhere, Reconciler
from ingest_service.usecases.file_rows import FileRows
from sqlalchemy import func, select
from wattbook import rpc
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.db import Store, migrate, open_store
from wattbook.errors import Unavailable
from wattbook.periods import day_bounds
from wattbook.walls import OPEN
from wattbook_proto import trades_pb2, trades_pb2_grpc

from tests.support.engines import NewStoreUrl
from tests.support.trades import FIELDS, HEADER
from tests.unit.ingest_service.test_spooler import frame

DAY = date(2023, 2, 20)
NOON = datetime(2023, 2, 20, 11, tzinfo=UTC)


@pytest.fixture
def store(new_store_url: NewStoreUrl) -> Iterator[Store]:
    opened = open_store(new_store_url("ingest"), name="ingest")
    migrate(opened, "ingest_service")
    yield opened
    opened.close()


def trade(trade_id: str, *, at: datetime = NOON, **changes: Any) -> ConfirmedTrade:
    stated = ConfirmedTrade(trade_id, 2050, 12_000, 1, "2023-02-21", 8, "trader_1", to_epoch_us(at))
    return stated._replace(**changes)


def row(stated: ConfirmedTrade) -> list[object]:
    executed = datetime.fromtimestamp(stated.execution_time_us / 1e6, UTC).isoformat()
    return [
        stated.trade_id, stated.price_ct_per_mwh, stated.quantity_kw // 1000,
        {1: "buy", 2: "sell"}[stated.direction], stated.delivery_day, stated.delivery_hour, stated.trader_id,
        executed,
    ]  # fmt: skip


@dataclass
class FakeBook:
    """Has these from the feed; may be away after so many pages."""

    trades: list[ConfirmedTrade]
    page: int = 2
    away_after: int | None = None
    asked: list[date] = field(default_factory=list)

    def of_feed(self, *, from_us: int, before_us: int) -> Iterator[Sequence[ConfirmedTrade]]:
        self.asked.append(execution_day(from_us))
        found = [each for each in self.trades if from_us <= each.execution_time_us < before_us]
        for at in range(0, len(found), self.page):
            if self.away_after is not None and at // self.page >= self.away_after:
                raise Unavailable("trade-service is away")
            yield found[at : at + self.page]
        if self.away_after == 0:
            raise Unavailable("trade-service is away")


class Desk:
    """A reconciler over a real store."""

    def __init__(self, store: Store, folder: Path, book: FakeBook | None) -> None:
        self.store, self.days, self._folder = store, FeedDays(store), folder
        self._inbox = DropFolder(folder / "inbox")
        self._inbox.prepare()
        self.reconciler = Reconciler(
            days=self.days, spool=Spool(store), clock=FakeClock(NOON),
            elsewhere=HeardElsewhere(book=book, days=self.days) if book else None,
        )  # fmt: skip

    def heard(self, *trades: ConfirmedTrade) -> None:
        with self.store.write() as connection:
            add_feed_trades(connection, [(each, Spooled(1, 1, "ws://x", b"")) for each in trades])

    def compare(self, *trades: ConfirmedTrade, name: str = "epex_trades_20230220.csv") -> Reconciliation:
        path = self._folder / name
        with path.open("w", newline="") as lines:
            csv.writer(lines).writerows([FIELDS, *map(row, trades)])
        self.compare_file(path)
        return self.days.reconciliation(DAY.isoformat())

    def compare_file(self, path: Path, *refused: ListedRow) -> Reconciliation:
        with path.open("rb") as file:
            source = SourceFile(path.name, file.fileno())
            rows = FileRows(source, folder=self._inbox, key="key", keep_going=lambda: True)
            rows.compare_with(self.reconciler.begin(lambda: True))
            rows.refuse(refused)
            rows.finish(name=path.name, sha256="0" * 64)
        return self.days.reconciliation(DAY.isoformat())

    def known(self) -> dict[str, int]:
        """When each was received, 0 by another node."""
        with self.store.read() as connection:
            return dict(connection.execute(select(FEED_TRADES.c.trade_id, FEED_TRADES.c.received_us)).all())  # type: ignore[arg-type]


def counts(found: Reconciliation) -> tuple[int, int, int, int]:
    return found.in_both, found.recovered, found.feed_only, found.differing


def kinds(found: Reconciliation) -> dict[str, str]:
    return {each.trade_id: each.kind for each in found.differences}


def test_what_only_another_node_heard_is_in_both_and_what_nobody_heard_is_recovered(
    store: Store, tmp_path: Path
) -> None:
    ours, theirs, nobodys = trade("ours"), trade("theirs"), trade("nobodys")
    desk = Desk(store, tmp_path, FakeBook([ours, theirs]))
    desk.heard(ours)

    found = desk.compare(ours, theirs, nobodys)

    assert counts(found) == (2, 1, 0, 0)
    assert kinds(found) == {"nobodys": "recovered"}
    assert desk.known() == {"ours": 1, "theirs": 0}


def test_what_only_another_node_heard_and_the_file_lacks_or_states_otherwise_is_told(
    store: Store, tmp_path: Path
) -> None:
    lacking, other = trade("lacking"), trade("other")
    desk = Desk(store, tmp_path, FakeBook([lacking, other]))

    found = desk.compare(other._replace(price_ct_per_mwh=1), trade("new"))

    assert counts(found) == (0, 1, 1, 1)
    assert kinds(found) == {"lacking": "feed_only", "other": "differs", "new": "recovered"}


def test_a_file_without_rows_is_told_what_other_nodes_heard(store: Store, tmp_path: Path) -> None:
    desk = Desk(store, tmp_path, FakeBook([trade("theirs")]))

    assert counts(desk.compare()) == (0, 0, 1, 0)


def test_a_trade_that_was_heard_here_otherwise_than_it_was_booked_stays_as_it_was_heard(
    store: Store, tmp_path: Path
) -> None:
    booked = trade("t")
    desk = Desk(store, tmp_path, FakeBook([booked]))
    desk.heard(booked._replace(price_ct_per_mwh=7))

    assert counts(desk.compare(booked)) == (0, 0, 0, 1)


def test_the_book_is_asked_once_for_each_day_that_the_file_has(store: Store, tmp_path: Path) -> None:
    before, odd = NOON - timedelta(days=1), datetime(2500, 1, 1, tzinfo=UTC)
    book = FakeBook([trade("of before", at=before)])
    rows = [trade(f"t{n}") for n in range(2500)]

    found = Desk(store, tmp_path, book).compare(
        *rows, trade("of before", at=before), trade("of no day", at=odd)
    )

    assert book.asked == [DAY, DAY - timedelta(days=1)]
    assert counts(found) == (1, 2501, 0, 0)


HEARD = trade("h_1")
WRITTEN = ",".join(map(str, row(HEARD)))


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ("", ""), (",12,", ",12.0,"), (",12,", ",1.2e1,"), (",2050,", ",2050.0,"), ("+00:00", "Z"),
        ("+00:00", "+0000"), ("T11:00:00+00:00", "T12:00:00+01:00"),
    ],
)  # fmt: skip
def test_a_row_that_says_the_same_in_another_spelling_is_in_both(
    store: Store, tmp_path: Path, usual: str, other: str
) -> None:
    written = WRITTEN.replace(usual, other)
    desk = Desk(store, tmp_path, None)
    desk.heard(HEARD)
    path = tmp_path / "epex_trades_20230220.csv"
    path.write_text(f"{HEADER}\n{written}\n")

    assert counts(desk.compare_file(path)) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    "odd", ['g_1,100,1,sell,2024-03-05,14,"trader_x,2024-03-05T09:00:00Z', '"' + "x" * 200_000]
)
def test_a_row_with_an_open_quote_spoils_no_other(store: Store, tmp_path: Path, odd: str) -> None:
    desk = Desk(store, tmp_path, None)
    desk.heard(HEARD, trade("h_2"))
    path = tmp_path / "epex_trades_20230220.csv"
    path.write_text(f"{HEADER}\n{odd}\n{WRITTEN}\n{WRITTEN.replace('h_1', 'h_2')}\n")

    found = desk.compare_file(path, ListedRow(1, "not CSV"))

    assert counts(found) == (2, 0, 0, 0)
    assert [(each.kind, each.detail) for each in found.differences] == [
        ("file_only", "row 1 is refused: not CSV")
    ]


COUNT_OF = {
    name: name.replace("differs", "differing")
    for name in ("differs", "recovered", "corrected", "file_only", "feed_only")
}
COUNTS = ("in_both", *COUNT_OF.values())
CONFLICT = ListedRow(1, "other content: price", Verdict.CONFLICT)
INVALID = ListedRow(1, "quantity: above 0")
CORRECTED = ListedRow(1, "added", Verdict.CORRECTED)
OTHER = HEARD._replace(price_ct_per_mwh=2051)
PRICES = "price: 20.50 EUR/MWh in the feed, 20.51 EUR/MWh in the file"
BOOKED = "the book has it otherwise: other content: price"


@pytest.mark.parametrize(
    ("heard", "filed", "refused", "kind", "detail"),
    [
        pytest.param(HEARD, OTHER, CONFLICT, "differs", PRICES, id="the feed's is booked"),
        pytest.param(HEARD, OTHER, None, "differs", PRICES, id="the file's is booked"),
        pytest.param(HEARD, HEARD, CONFLICT, "differs", BOOKED, id="a client's is booked"),
        pytest.param(None, HEARD, CONFLICT, "differs", BOOKED, id="a client's is booked, nothing was heard"),
        pytest.param(None, HEARD, INVALID, "file_only", "row 1 is refused: quantity: above 0", id="refused"),
        pytest.param(None, HEARD, None, "recovered", "only in the file", id="recovered"),
        pytest.param(None, HEARD, CORRECTED, "corrected", "it replaced what a client had stated",
                     id="a client's was booked"),
        pytest.param(HEARD, None, None, "feed_only", "not in the file", id="not filed"),
    ],
)  # fmt: skip
def test_what_does_not_match_is_told_with_what_each_side_says(
    store: Store, tmp_path: Path, heard: ConfirmedTrade | None, filed: ConfirmedTrade | None,
    refused: ListedRow | None, kind: str, detail: str,
) -> None:  # fmt: skip
    desk = Desk(store, tmp_path, None)
    if heard is not None:
        desk.heard(heard)
    path = tmp_path / "epex_trades_20230220.csv"
    path.write_text("\n".join([HEADER, *(",".join(map(str, row(each))) for each in filter(None, [filed]))]))

    found = desk.compare_file(path, *filter(None, [refused]))

    said = ["" if each is None else kept_content(each) for each in (filed, heard)]
    assert found.differences == (Difference("h_1", kind, detail, *said),)
    assert {name: getattr(found, name) for name in COUNTS} == {**dict.fromkeys(COUNTS, 0), COUNT_OF[kind]: 1}


def test_a_row_that_is_none_and_whose_trade_was_heard_differs(store: Store, tmp_path: Path) -> None:
    desk = Desk(store, tmp_path, None)
    desk.heard(HEARD)
    path = tmp_path / "epex_trades_20230220.csv"
    path.write_text(f"{HEADER}\n{WRITTEN.replace('2050', '20.5')}\n")

    found = desk.compare_file(path, ListedRow(1, "price: expected int, got float"))

    assert found.differences == (
        Difference("h_1", "differs", "the file's row is refused: price: expected int, got float",
                   feed=kept_content(HEARD)),
    )  # fmt: skip
    assert found.feed_only == 0


def test_alone_nobody_is_asked(store: Store, tmp_path: Path) -> None:
    ours = trade("ours")
    desk = Desk(store, tmp_path, None)
    desk.heard(ours)

    assert counts(desk.compare(ours, trade("theirs"))) == (1, 1, 0, 0)


@pytest.mark.parametrize("pages", [0, 1])
def test_a_book_that_goes_away_leaves_the_day_as_it_was_and_doing_it_again_is_right(
    store: Store, tmp_path: Path, pages: int
) -> None:
    heard = [trade(f"t{n}") for n in range(5)]
    book = FakeBook(heard, away_after=pages)
    desk = Desk(store, tmp_path, book)

    with pytest.raises(Unavailable):
        desk.compare(*heard)
    assert desk.days.reconciliation(DAY.isoformat()).reconciled_us == 0
    assert len(desk.known()) == 2 * pages  # what came before stands

    book.away_after = None
    assert counts(desk.compare(*heard)) == (5, 0, 0, 0)


def test_a_stop_is_heard_amid_a_day_of_any_size(store: Store) -> None:
    left = iter([True, True, False])
    elsewhere = HeardElsewhere(book=FakeBook([trade(f"t{n}") for n in range(9)]), days=FeedDays(store))

    with pytest.raises(NotYet):
        elsewhere.adopt(DAY, keep_going=lambda: next(left))


def test_a_trade_that_two_threads_find_missing_is_kept_once(store: Store) -> None:
    """As a frame is read while its trade is taken over from the book: neither of both may fail."""
    days, both = FeedDays(store), [trade(f"t{n}") for n in range(200)]
    ready, failed = threading.Barrier(2), []

    def work(add: Any) -> None:
        try:
            for each in both:
                ready.wait(20)
                add(each)
        except Exception as error:
            ready.abort()
            failed.append(error)

    def settle(each: ConfirmedTrade) -> None:
        with store.write(durable=False) as connection:
            if not known_contents(connection, [each.trade_id]):
                add_feed_trades(connection, [(each, Spooled(1, 1, "ws://x", b""))])

    threads = [
        threading.Thread(target=work, args=(add,)) for add in (settle, lambda each: days.adopt([each]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(FEED_TRADES)).scalar_one() == 200


# --- the book over gRPC


class FakeTrades(trades_pb2_grpc.TradesServicer):
    """Answers from a list, so many a page; remembers what was asked."""

    def __init__(self, trades: list[trades_pb2.BookedTrade]) -> None:
        self.trades = trades
        self.asked: list[trades_pb2.SearchRequest] = []

    def Search(self, request: Any, context: Any) -> Iterator[trades_pb2.TradePage]:  # noqa: N802
        self.asked.append(request)
        left = [each for each in self.trades if each.booking_seq > request.after_seq]
        for at in range(0, 4, 2):  # as if its limit were four
            page = left[at : at + 2]
            more = len(left) > at + 2
            yield trades_pb2.TradePage(trades=page, next_after_seq=page[-1].booking_seq if more else 0)
            if not more:
                return


def booked(seq: int, source: int, **changes: Any) -> trades_pb2.BookedTrade:
    stated = {
        "price_ct_per_mwh": 2050, "quantity_kw": 12_300, "direction": trades_pb2.BUY, "area": "DE",
        "delivery_start_s": 1675666800, "delivery_minutes": 60, "trader_id": "trader_1",
        "execution_time_us": to_epoch_us(datetime(2023, 2, 6, 6, 13, 45, tzinfo=UTC)),
    }  # fmt: skip
    return trades_pb2.BookedTrade(booking_seq=seq, id=f"t{seq}", source=source, **{**stated, **changes})


def test_the_book_tells_page_by_page_what_it_has_from_the_feed_and_nothing_else() -> None:
    sources = [trades_pb2.FEED, trades_pb2.REST, trades_pb2.FILE, *[trades_pb2.FEED] * 7]
    fake = FakeTrades([booked(seq, source) for seq, source in enumerate(sources, start=1)])
    server = rpc.Server("127.0.0.1:0", guard=OPEN)
    server.register(trades_pb2_grpc.add_TradesServicer_to_server, fake, rules={"Search": lambda _: None})
    begins, ends = map(to_epoch_us, day_bounds("DE", DAY))
    try:
        with rpc.channel(f"127.0.0.1:{server.start()}") as channel:
            pages = list(Book(channel).of_feed(from_us=begins, before_us=ends))
    finally:
        server.stop(0)

    assert [each.trade_id for page in pages for each in page] == [f"t{n}" for n in (1, 4, 5, 6, 7, 8, 9, 10)]
    assert [request.after_seq for request in fake.asked] == [0, 4, 8]
    assert {(each.area, each.executed_from_us, each.executed_before_us) for each in fake.asked} == {
        ("DE", begins, ends)
    }


@pytest.mark.parametrize(
    ("start_s", "day", "hour"),
    [
        (1675666800, "2023-02-06", "08-09"),
        (1698534000, "2023-10-29", "01-02"),
        (1698537600, "2023-10-29", "02-03"),  # and again an hour later
        (1698541200, "2023-10-29", "02-03"),
        (1698544800, "2023-10-29", "03-04"),
    ],
)
def test_a_booked_trade_says_the_same_as_the_frame_it_came_in(start_s: int, day: str, hour: str) -> None:
    said = read_frame(frame(id="t1", delivery_day=day, delivery_hour=hour))

    known = confirmed(booked(1, trades_pb2.FEED, delivery_start_s=start_s))
    assert kept_content(known) == kept_content(said)
