"""The exchange's statement of a trade wins, and nothing of the book is lost, doubled or passed over by it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from trade_service.api import TradesServicer, booked_events
from trade_service.domain import (
    BookedTrade,
    Criteria,
    Decision,
    PositionKey,
    Result,
    Source,
    Speaker,
    Trade,
    decide,
)
from trade_service.store import TradeStore
from trade_service.usecases import (
    Commit,
    GroupCommit,
    Known,
    Sender,
    corrections,
    differing,
    has_diverged,
    positions,
    positions_of,
    search,
)
from trade_service.usecases.ledger import Ledger
from wattbook import db
from wattbook.access import Principal, Role
from wattbook.bus import Message
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.errors import Forbidden, Unavailable
from wattbook.walls import called_by
from wattbook_proto import events_pb2, trades_pb2

from tests.support.engines import NewStoreUrl
from tests.unit.trade_service.test_group_commit import trade

NOW = datetime(2023, 2, 28, 11, 12, 36, tzinfo=UTC)
CLIENT = Sender(int(Source.REST), author="client")
OTHER = Sender(int(Source.REST), author="other", sees="trader_2")
FEED = Sender(int(Source.FEED), Speaker.EXCHANGE)
FILE = Sender(int(Source.FILE), Speaker.EXCHANGE, author="ingest-service")
NAMED = Sender(int(Source.FEED), Speaker.NAMED, author="dora")
ACCEPTED = Sender(int(Source.REST), Speaker.ACCEPTED, author="dora")


@dataclass
class Book:
    """A book in a real store, and all commits that it told of."""

    store: db.Store
    commits: list[Commit] = field(default_factory=list)
    events: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = TradeStore(self.store)
        self.committer = GroupCommit(
            self.book, clock=FakeClock(NOW), announce=self._announce, committed=lambda _: None
        )
        self.committer.start()

    def _announce(self, commit: Commit, traceparent: str) -> list[Message]:
        self.commits.append(commit)
        made = booked_events(commit, traceparent)
        self.events.extend(made)
        return made

    def state(self, *trades: Trade, by: Sender = CLIENT) -> list[int]:
        """What became of each."""
        return self.outcome(*trades, by=by).results

    def outcome(self, *trades: Trade, by: Sender = CLIENT) -> Any:
        return self.committer.book(trades, sender=by, timeout_s=20)

    def rows(self, *, history: bool = False, **criteria: Any) -> list[BookedTrade]:
        return [
            row for page in search(self.book, Criteria(**criteria), history=history) for row in page.trades
        ]

    def prices(self) -> dict[str, int]:
        return {row.trade_id: row.price_ct_per_mwh for row in self.rows()}

    def told(self) -> list[Any]:
        return [row for event in self.events for row in events_pb2.TradesBooked.FromString(event.body).trades]

    def close(self) -> None:
        self.committer.stop()
        self.store.close()


@pytest.fixture
def book(new_store_url: NewStoreUrl) -> Iterator[Book]:
    store = db.open_store(new_store_url("trade"), name="trade")
    db.migrate(store, "trade_service")
    made = Book(store)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("speaker", "is_booked", "is_equal", "is_confirmed", "decision"),
    [
        *((speaker, False, False, False, Decision.ADD) for speaker in Speaker),
        (Speaker.CLIENT, True, True, False, Decision.DUPLICATE),
        (Speaker.CLIENT, True, True, True, Decision.DUPLICATE),
        (Speaker.CLIENT, True, False, False, Decision.CONFLICT),
        (Speaker.CLIENT, True, False, True, Decision.CONFLICT),
        (Speaker.EXCHANGE, True, True, False, Decision.CONFIRM),
        (Speaker.EXCHANGE, True, True, True, Decision.DUPLICATE),
        (Speaker.EXCHANGE, True, False, False, Decision.REPLACE),
        (Speaker.EXCHANGE, True, False, True, Decision.CONFLICT),
        *(
            (speaker, True, *what)
            for speaker in (Speaker.NAMED, Speaker.ACCEPTED)
            for what in (
                (True, False, Decision.CONFIRM),
                (True, True, Decision.DUPLICATE),
                (False, False, Decision.REPLACE),
                (False, True, Decision.REPLACE),
            )
        ),
    ],
)
def test_what_becomes_of_a_statement(
    speaker: Speaker, is_booked: bool, is_equal: bool, is_confirmed: bool, decision: Decision
) -> None:
    found = decide(speaker, is_booked=is_booked, is_equal=is_equal, is_confirmed=is_confirmed)

    assert found is decision


@pytest.mark.parametrize("is_booked", [False, True])
def test_the_desk_accepts_only_what_the_exchange_has_stated(is_booked: bool) -> None:
    found = decide(
        Speaker.ACCEPTED, is_booked=is_booked, is_equal=False, is_confirmed=is_booked, is_stated=False
    )

    assert found is Decision.CONFLICT


@pytest.mark.parametrize("exchange", [FEED, FILE])
def test_the_exchange_replaces_what_a_client_booked_and_the_old_content_is_kept(
    book: Book, exchange: Sender
) -> None:
    book.state(trade(1), trade(2))

    outcome = book.outcome(trade(1, price_ct_per_mwh=999, trader_id="trader_2"), by=exchange)

    assert (outcome.results, list(outcome.corrected)) == ([Result.ADDED], [0])
    assert [(row.booking_seq, row.trade_id, row.price_ct_per_mwh) for row in book.rows()] == [
        (2, "t_2", 120),
        (3, "t_1", 999),
    ]
    ((pair, rest),) = corrections(book.book, Criteria())
    assert rest == 0
    assert [(each.replaced.booking_seq, each.replaced.author, each.by.booking_seq) for each in pair] == [
        (1, "client", 3)
    ]
    assert [row.booking_seq for row in book.rows(history=True)] == [1, 2, 3]


def test_the_event_of_a_correction_has_a_version_of_its_own_and_both_contents(book: Book) -> None:
    book.state(trade(1))
    book.state(trade(1, price_ct_per_mwh=999), trade(2), by=FEED)

    assert [event.version for event in book.events] == [1, 2]
    told = book.told()
    assert [(each.booking_seq, each.price_ct_per_mwh) for each in told] == [(1, 120), (2, 999), (3, 120)]
    assert [each.HasField("replaced") for each in told] == [False, True, False]
    assert (told[1].replaced.booking_seq, told[1].replaced.price_ct_per_mwh) == (1, 120)


def test_the_replaced_content_sent_again_is_a_conflict_and_the_correction_again_a_duplicate(
    book: Book,
) -> None:
    book.state(trade(1))
    book.state(trade(1, price_ct_per_mwh=999), by=FEED)

    assert book.state(trade(1)) == [Result.CONFLICT]
    assert book.state(trade(1, price_ct_per_mwh=999)) == [Result.DUPLICATE]
    assert book.state(trade(1, price_ct_per_mwh=999), by=FILE) == [Result.DUPLICATE]
    assert len(book.commits) == 2


def test_an_equal_statement_of_the_exchange_confirms_a_row_without_a_number_or_an_event(book: Book) -> None:
    book.state(trade(1), trade(2))
    assert [row.trade_id for row in book.rows(unconfirmed=True)] == ["t_1", "t_2"]

    assert book.state(trade(1), by=FEED) == [Result.DUPLICATE]

    assert [row.trade_id for row in book.rows(unconfirmed=True)] == ["t_2"]
    assert len(book.events) == 1
    first = book.rows()[0]
    assert (first.booking_seq, first.author, first.source) == (1, "client", Source.REST)


def test_a_second_statement_of_the_exchange_is_a_conflict_until_the_desk_accepts_it(book: Book) -> None:
    book.state(trade(1), by=FEED)
    second = trade(1, price_ct_per_mwh=999)

    refused = book.outcome(second, by=FILE)
    assert refused.results == [Result.CONFLICT]
    assert refused.reasons == {0: "stated by the exchange with another price"}
    assert book.prices() == {"t_1": 120}

    assert book.state(second, by=ACCEPTED) == [Result.ADDED]
    assert book.prices() == {"t_1": 999}
    (row,) = book.rows()
    assert (row.author, row.source, row.confirmed_by) == ("dora", Source.REST, Source.FILE)
    assert book.state(second, by=FILE) == [Result.DUPLICATE]


def stated_otherwise(book: Book, *, settled_too: bool = False) -> list[tuple[int, int, str]]:
    """The price of each, the book's, and who has decided."""
    found, _ = differing(book.book, settled_too=settled_too)
    return [(each.trade.price_ct_per_mwh, row.price_ct_per_mwh, each.settled_by) for each, row in found]


def test_nothing_is_accepted_that_the_exchange_has_not_stated(book: Book) -> None:
    book.state(trade(1), by=FEED)
    book.state(trade(2))
    book.state(trade(1, price_ct_per_mwh=999), by=FILE)

    outcome = book.outcome(
        trade(1, price_ct_per_mwh=998), trade(2), trade(2, price_ct_per_mwh=5), trade(3), by=ACCEPTED
    )

    assert outcome.results == [Result.CONFLICT] * 4
    assert "the exchange has not stated it so" in outcome.reasons[0]
    assert book.prices() == {"t_1": 120, "t_2": 120}
    assert stated_otherwise(book) == [(999, 120, "")]


def test_a_second_statement_is_kept_once_however_often_it_comes_until_somebody_decides(book: Book) -> None:
    second, third = trade(1, price_ct_per_mwh=999), trade(1, price_ct_per_mwh=7)
    book.state(trade(1), second, second, by=FEED)
    book.state(second, third, by=FILE)
    assert stated_otherwise(book) == [(999, 120, ""), (7, 120, "")]

    book.state(second, by=ACCEPTED)

    assert stated_otherwise(book) == []
    book.state(trade(1), third, by=FILE)
    assert stated_otherwise(book) == []
    assert sorted(stated_otherwise(book, settled_too=True)) == [
        (7, 999, "dora"),
        (120, 999, "dora"),
        (999, 999, "dora"),
    ]


def test_the_desk_can_keep_what_is_booked_and_go_back_on_what_it_accepted(book: Book) -> None:
    first, second = trade(1), trade(1, price_ct_per_mwh=999)
    book.state(first, by=FEED)
    book.state(second, by=FILE)

    assert book.state(first, by=ACCEPTED) == [Result.DUPLICATE]
    assert stated_otherwise(book) == []
    assert book.state(second, first, second, by=ACCEPTED) == [Result.ADDED] * 3

    assert book.prices() == {"t_1": 999}
    assert [row.price_ct_per_mwh for row in book.rows(history=True)] == [120, 999, 120, 999]


def test_a_file_that_comes_again_is_told_what_it_corrected_and_what_is_booked_otherwise(book: Book) -> None:
    book.state(trade(1), trade(2), trade(3))
    rows = [trade(1), trade(2, price_ct_per_mwh=9), trade(4), trade(2, price_ct_per_mwh=9)]
    assert list(book.outcome(*rows, by=FILE).corrected) == [1, 3]

    again = book.outcome(*rows, trade(4, price_ct_per_mwh=1), by=FILE)

    assert again.results == [Result.DUPLICATE] * 4 + [Result.CONFLICT]
    assert list(again.corrected) == [1, 3]
    assert {at: (row[0], row[2]) for at, row in again.booked.items()} == {4: (5, 120)}
    told = book.outcome(*rows, trade(4, price_ct_per_mwh=1), by=CLIENT)
    assert (list(told.corrected), told.booked) == ([], {})


def test_what_is_stated_after_the_decision_of_one_commit_waits_for_another(book: Book) -> None:
    now_us = to_epoch_us(NOW)
    book.state(trade(1), by=FEED)
    with book.book.booking() as booking:
        before = booking.head()
        booked = booking.booked(["t_1"])
        ledger = Ledger(booked, booking, next_seq=before.last_seq + 1, now_us=now_us)
        ledger.enter([trade(1, price_ct_per_mwh=2)], FILE)
        ledger.enter([trade(1, price_ct_per_mwh=2)], ACCEPTED)
        ledger.enter([trade(1, price_ct_per_mwh=3)], FILE)
        booking.settle(ledger.decided, at_us=now_us)
        booking.keep(ledger.differing)
        booking.add(ledger.close(before).entries, list, digest="")

    assert stated_otherwise(book) == [(3, 2, "")]


def test_what_is_added_confirmed_and_replaced_within_one_commit_is_settled_in_order(book: Book) -> None:
    book.state(trade(9))
    book.outcome(trade(1), trade(2))
    tickets = [trade(9, price_ct_per_mwh=1), trade(1), trade(2, price_ct_per_mwh=2), trade(3)]

    assert book.state(*tickets, *tickets, by=FEED) == [
        *(Result.ADDED, Result.DUPLICATE, Result.ADDED, Result.ADDED),
        *[Result.DUPLICATE] * 4,
    ]
    assert [row.booking_seq for row in book.rows(history=True)] == list(range(1, 7))
    assert book.prices() == {"t_1": 120, "t_9": 1, "t_2": 2, "t_3": 120}


def test_a_row_that_is_replaced_twice_within_one_commit_leaves_both_contents(book: Book) -> None:
    book.state(trade(1))
    book.state(trade(1, price_ct_per_mwh=2), trade(5), trade(1, price_ct_per_mwh=3), by=NAMED)

    assert book.prices() == {"t_5": 120, "t_1": 3}
    assert [(row.booking_seq, row.price_ct_per_mwh) for row in book.rows(history=True)] == [
        (1, 120),
        (2, 2),
        (3, 120),
        (4, 3),
    ]


@pytest.mark.parametrize(
    ("sees", "reason"),
    [
        (None, "already booked with another price"),
        ("trader_1", "already booked with another price"),
        ("trader_2", "conflict"),
        ("", "conflict"),
    ],
)
def test_a_conflict_says_nothing_of_a_trade_that_is_not_theirs_to_see(
    book: Book, sees: str | None, reason: str
) -> None:
    book.state(trade(1))

    outcome = book.outcome(
        trade(1, price_ct_per_mwh=5), by=Sender(int(Source.REST), author="somebody", sees=sees)
    )

    assert outcome.reasons == {0: reason}


def test_a_search_as_of_a_number_finds_a_row_that_moved_once_and_as_it_was(book: Book) -> None:
    book.state(trade(1), trade(2), trade(3))
    pages = search(book.book, Criteria(trader_id="trader_1"), limit=1)
    first = next(pages)
    book.state(trade(1, price_ct_per_mwh=9), trade(2, price_ct_per_mwh=9, trader_id="trader_2"), by=FEED)

    rest = search(
        book.book,
        Criteria(trader_id="trader_1"),
        after_seq=first.trades[-1].booking_seq,
        as_of_seq=first.head.last_seq,
    )

    found = [*first.trades, *(row for page in rest for row in page.trades)]
    assert [(row.trade_id, row.price_ct_per_mwh) for row in found] == [
        ("t_1", 120),
        ("t_2", 120),
        ("t_3", 120),
    ]
    now = [(row.booking_seq, row.trade_id) for row in book.rows(trader_id="trader_1")]
    assert now == [(3, "t_3"), (4, "t_1")]


def test_the_digest_is_chained_a_commit_and_tells_two_books_apart(book: Book, tmp_path: Path) -> None:
    book.state(trade(1), trade(2))
    book.state(trade(3))
    first, second = book.commits

    assert first.after == second.before
    assert len({first.before.digest, first.after.digest, second.after.digest, ""}) == 4
    assert book.book.head() == second.after
    assert book.book.digest_at(2) == first.after.digest
    assert book.book.digest_at(1) == ""
    for known, after_seq, expected in (
        (Known(first.after.epoch, first.after.digest), 2, False),
        (Known(first.after.epoch, first.after.digest), 3, True),
        (Known("another", ""), 2, True),
        (Known(first.after.epoch, "unknown here"), 1, False),
        (Known(), 4, True),
    ):
        assert has_diverged(book.book, known, after_seq=after_seq) is expected


def test_renewing_the_epoch_makes_whoever_followed_the_book_start_over(book: Book) -> None:
    book.state(trade(1))
    before = book.book.head()

    book.book.renew_epoch()

    assert has_diverged(book.book, Known(before.epoch, before.digest), after_seq=1)
    assert book.book.head()[1:] == before[1:]


def test_rows_of_an_earlier_release_are_confirmed_as_their_source_says(book: Book) -> None:
    for number, source in enumerate((Source.REST, Source.FILE, Source.FEED)):
        book.state(trade(number), by=Sender(int(source)))
    with book.store.write() as connection:
        connection.exec_driver_sql("UPDATE trades SET confirmed_by = NULL")

    assert [row.trade_id for row in book.rows(unconfirmed=True)] == ["t_0"]
    assert book.state(*(trade(number, price_ct_per_mwh=1) for number in range(3)), by=FEED) == [
        Result.ADDED,
        Result.CONFLICT,
        Result.CONFLICT,
    ]


def test_after_commits_of_an_earlier_release_the_digest_is_unknown_until_the_next_commit(book: Book) -> None:
    book.state(trade(1))
    with book.store.write() as connection:
        connection.exec_driver_sql("UPDATE booking_counter SET last_booking_seq = 2")
        connection.exec_driver_sql(
            "INSERT INTO trades SELECT 2, 't_2', 120, 1, direction, trader_id, execution_time_us, area, "
            "delivery_start_s, delivery_minutes, delivery_day, flags, booked_time_us, source, NULL, '', '' "
            "FROM trades"
        )
    assert book.book.head().digest == ""

    book.state(trade(3))

    assert book.commits[-1].before.digest == ""
    assert book.book.head().digest == book.commits[-1].after.digest != ""


class OldReader:
    """As the read model before there were corrections: adds what an event or the book tells it."""

    def __init__(self, servicer: TradesServicer) -> None:
        self._servicer = servicer
        self.counted: dict[int, str] = {}

    def hear(self, events: list[Message]) -> None:
        for event in events:
            if event.version == 1:
                self._add(events_pb2.TradesBooked.FromString(event.body).trades)

    def catch_up(self) -> None:
        request = trades_pb2.SearchRequest(after_seq=len(self.counted))
        with called_by(Principal("report-service", frozenset({Role.SERVICE}), may_write=False)):
            for page in self._servicer.Search(request, Any):
                self._add(page.trades)

    def _add(self, trades: Any) -> None:
        for each in trades:
            if each.booking_seq == len(self.counted) + 1:
                self.counted[each.booking_seq] = each.id


def test_a_reader_that_only_adds_stalls_at_a_correction_and_is_told_why(book: Book) -> None:
    servicer = TradesServicer(store=book.book, booker=book.committer)
    reader = OldReader(servicer)
    book.state(trade(1), trade(2))
    book.state(trade(1, price_ct_per_mwh=9), by=FEED)
    book.state(trade(3))

    reader.hear(book.events)
    with pytest.raises(Unavailable, match=r"only a reader of trade\.booked 2 can count"):
        reader.catch_up()

    assert reader.counted == {1: "t_1", 2: "t_2"}
    request = trades_pb2.SearchRequest(after_seq=2, follow_version=2)
    with called_by(Principal("report-service", frozenset({Role.SERVICE}), may_write=False)):
        (page,) = servicer.Search(request, Any)
    assert [each.booking_seq for each in page.trades] == [3, 4]
    assert page.trades[0].replaced.booking_seq == 1


@pytest.mark.parametrize(
    ("asker", "seen"),
    [
        (Principal("a", frozenset({Role.TRADER}), trader_id="trader_1"), ("trader_1", "")),
        (Principal("b", frozenset({Role.TRADER}), trader_id="trader_2"), ("", "trader_2")),
        (Principal("d", frozenset({Role.DESK})), ("trader_1", "trader_2")),
    ],
)
def test_each_content_of_a_correction_is_shown_to_its_own_trader_and_the_desk(
    book: Book, asker: Principal, seen: tuple[str, str]
) -> None:
    servicer = TradesServicer(store=book.book, booker=book.committer)
    book.state(trade(1), trade(2, trader_id="trader_3"))
    book.state(trade(1, trader_id="trader_2"), by=FEED)

    with called_by(asker):
        (page,) = servicer.Corrections(trades_pb2.CorrectionsRequest(), Any)
        found = [row for part in servicer.Search(trades_pb2.SearchRequest(), Any) for row in part.trades]

    (correction,) = page.corrections
    assert (correction.id, correction.booking_seq) == ("t_1", 3)
    assert (correction.replaced.trader_id, correction.by.trader_id) == seen
    if asker.trader_id:
        assert {row.trader_id for row in found} <= {asker.trader_id}
    assert all(row.replaced.trader_id in ("", seen[0]) for row in found)


@pytest.mark.parametrize(
    ("name", "roles", "changes", "refused"),
    [
        ("ingest-service", {Role.SERVICE}, {"by_exchange": True}, False),
        ("desk", {Role.DESK}, {"by_exchange": True}, True),
        ("somebody", {Role.SERVICE}, {"by_exchange": True}, True),
        ("desk", {Role.DESK}, {"accepted": True}, False),
        ("trader", {Role.TRADER}, {"accepted": True}, True),
        ("ingest-service", {Role.SERVICE}, {"accepted": True}, True),
    ],
)
def test_only_whom_it_is_given_to_may_speak_for_the_exchange_or_accept(
    book: Book, name: str, roles: set[Role], changes: dict[str, bool], refused: bool
) -> None:
    servicer = TradesServicer(store=book.book, booker=book.committer)
    book.state(trade(1), by=FEED if "accepted" in changes else CLIENT)
    book.state(trade(1, price_ct_per_mwh=9), by=FILE if "accepted" in changes else CLIENT)
    stated = trades_pb2.TradeToBook(
        id="t_1", price_ct_per_mwh=9, quantity_kw=12_000, direction=trades_pb2.SELL,
        delivery_day="2023-02-28", delivery_hour=14, trader_id="trader_1",
        execution_time_us=trade(1).execution_time_us,
    )  # fmt: skip
    request = trades_pb2.BookRequest(trades=[stated], source=trades_pb2.FILE, **changes)

    with called_by(Principal(name, frozenset(roles))):
        if refused:
            with pytest.raises(Forbidden):
                servicer.Book(request, Deadline())
        else:
            assert list(servicer.Book(request, Deadline()).corrected) == [0]

    assert book.prices() == {"t_1": 120 if refused else 9}


class Deadline:
    """A call without a deadline."""

    def time_remaining(self) -> None:
        return None


statements = st.lists(
    st.tuples(
        st.sampled_from(["client", "feed", "file", "named", "accepted"]),
        st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.booleans()), min_size=1, max_size=5),
    ),
    max_size=12,
)
SENDERS = {"client": CLIENT, "feed": FEED, "file": FILE, "named": NAMED, "accepted": ACCEPTED}
_stores = count()


@dataclass
class Model:
    """The rule in a few lines: what client and exchange stated, and what holds of the latter."""

    by_exchange: dict[str, Trade] = field(default_factory=dict)
    by_client: dict[str, Trade] = field(default_factory=dict)
    stated: set[Trade] = field(default_factory=set)

    def hear(self, kind: str, trades: list[Trade]) -> None:
        if kind in ("named", "feed", "file"):
            self.stated.update(trades)
        for each in trades:
            if kind == "named" or (kind == "accepted" and each in self.stated):
                self.by_exchange[each.trade_id] = each
            elif kind in ("feed", "file"):
                self.by_exchange.setdefault(each.trade_id, each)
            elif kind == "client":
                self.by_client.setdefault(each.trade_id, each)


@pytest.fixture(scope="module")
def empty_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("empty") / "trade.db"
    store = db.open_store(f"sqlite:///{file}", name="trade")
    db.migrate(store, "trade_service")
    store.close()
    return file


@given(statements=statements)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_sums_equal_those_of_the_exchanges_statements_in_whatever_order_they_came(
    empty_book: Path, tmp_path: Path, statements: list[tuple[str, list[tuple[int, int, bool]]]]
) -> None:
    file = shutil.copy(empty_book, tmp_path / f"{next(_stores)}.db")
    store = db.open_store(f"sqlite:///{file}", name="trade")
    book = Book(store)
    model = Model()
    as_of: dict[int, dict[str, int]] = {}
    for kind, stated in statements:
        made = [
            trade(number, price_ct_per_mwh=price, trader_id="trader_2" if other else "trader_1")
            for number, price, other in stated
        ]
        book.state(*made, by=SENDERS[kind])
        model.hear(kind, made)
        as_of[book.book.head().last_seq] = book.prices()
    expected = {**model.by_client, **model.by_exchange}

    assert book.prices() == {name: each.price_ct_per_mwh for name, each in expected.items()}
    history = book.rows(history=True)
    assert [row.booking_seq for row in history] == list(range(1, book.book.head().last_seq + 1))
    assert [each.booking_seq for each in book.told()] == [row.booking_seq for row in history]
    assert {row.trade_id for row in book.rows(unconfirmed=True)} == expected.keys() - model.by_exchange.keys()
    for seq, prices in as_of.items():
        then = (
            [row for page in search(book.book, Criteria(), as_of_seq=seq) for row in page.trades]
            if seq
            else []
        )
        assert {row.trade_id: row.price_ct_per_mwh for row in then} == prices
        assert len(then) == len(prices)
    with positions(book.book) as (head, pages):
        summed = {each.trader_id: each for page in pages for each in page}
    keys = [PositionKey(name, "DE", each.delivery_start_s, 60, 20230228) for name, each in summed.items()]
    assert positions_of(book.book, keys, as_of_seq=head.last_seq) == list(summed.values())
    for name, each in summed.items():
        own = [one for one in expected.values() if one.trader_id == name]
        assert (each.trades, each.sell_ct_kw_per_mwh) == (
            len(own),
            sum(one.price_ct_per_mwh * one.quantity_kw for one in own),
        )
    for earlier, later in zip(book.commits, book.commits[1:], strict=False):
        assert earlier.after == later.before
    book.close()
