"""The exchange's feed on the pages: the pill, the badge, and what is kept in memory for them."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import date, timedelta

import pytest
from flask.testing import FlaskClient
from report_service.api.trouble import LOUD_AFTER_S, Trying
from report_service.api.watching import FeedWatcher
from report_service.domain.feed import Difference, Listener, Statement, TradingDay, WaitingFile
from report_service.usecases.feed import (
    CLOSED_DAY_EVERY_S,
    MOST_DAYS,
    UNCONFIRMED_EVERY_S,
    FeedBoard,
    FeedKeeper,
)
from wattbook.clock import FakeClock
from wattbook.errors import Unavailable
from wattbook.retry import Backoff

from tests.support.waiting import wait_until
from tests.unit.report_service.fakes import DAY, NOW, FakeFeedOwner
from tests.unit.report_service.test_pages import Pages

PNL = "/traders/trader_1/days/2023-02-28"
LIVE = "/traders/trader_1/days/2023-02-28"
DESK = "/desk/2023-02-28"


def text_of(page: str, name: str) -> str:
    """An element's words, by the name under which a stream would write it."""
    found = re.search(rf'data-slot="{re.escape(name)}"[^>]*>(.*?)</(?:a|td|dd|p)>', page, flags=re.DOTALL)
    assert found is not None, name
    return " ".join(re.sub(r"<[^>]+>", " ", found.group(1)).split())


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def ana(pages: Pages) -> FlaskClient:
    return pages.as_("ana")


class TestThePill:
    @pytest.mark.parametrize("address", [PNL, LIVE, DESK, "/traders", "/feed", "/desk/2023-02-30"])
    def test_is_on_every_page(self, pages: Pages, ana: FlaskClient, address: str) -> None:
        pages.keeper.tend()

        assert text_of(ana.get(address).text, "pill") == "● feed live · 14:03:07"

    def test_tells_a_silent_feed_and_since_when(self, pages: Pages, ana: FlaskClient) -> None:
        pages.clock.advance(31)
        pages.keeper.tend()

        assert text_of(ana.get(LIVE).text, "pill") == "◐ feed silent · since 14:03:07"

    def test_tells_a_disconnected_feed_since_when_and_when_it_tries_again(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        owner = pages.exchange
        owner.now(is_connected=False, since_us=owner.us(-2), next_attempt_us=owner.us(5))
        pages.keeper.tend()

        words = "○ feed disconnected · since 14:03:05 · next try 14:03:12"
        assert text_of(ana.get(LIVE).text, "pill") == words

    def test_one_connection_of_two_keeps_it_live_and_is_said(self, pages: Pages, ana: FlaskClient) -> None:
        pages.exchange.listeners.append(Listener("ws://other", since_us=pages.exchange.us()))
        pages.keeper.tend()

        assert text_of(ana.get(LIVE).text, "pill") == "● feed live · 1 of 2 lines · 14:03:07"

    def test_says_where_there_is_no_feed(self, pages: Pages, ana: FlaskClient) -> None:
        pages.exchange.listeners.clear()
        pages.keeper.tend()

        assert text_of(ana.get(LIVE).text, "pill") == "– no feed configured"
        assert 'class="badge none"' in ana.get(LIVE).text

    def test_a_day_long_gone_is_named(self, pages: Pages, ana: FlaskClient) -> None:
        pages.exchange.now(is_connected=False, since_us=pages.exchange.us(-86_400))
        pages.keeper.tend()

        assert "since Mon 27 Feb, 14:03:07" in text_of(ana.get(LIVE).text, "pill")

    def test_an_owner_that_is_away_is_said_since_when_and_what_is_known_stays(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.keeper.tend()
        pages.clock.advance(10)
        pages.feed.lost()
        page = ana.get("/feed").text

        assert text_of(page, "pill") == "○ feed not known · since 14:03:17"
        assert text_of(page, "b.feed.note").endswith("then last frame 14:03:07, lag 0.2 s")
        assert text_of(page, "l0.frames") == "0"

    def test_a_lost_book_counts_more_than_a_live_feed(self, pages: Pages, ana: FlaskClient) -> None:
        pages.keeper.tend()
        pages.model.lost()

        assert text_of(ana.get(LIVE).text, "pill") == "○ not live · trade book away since 14:03:07"

    def test_strangers_are_told_nothing(self, pages: Pages) -> None:
        pages.keeper.tend()

        assert 'class="pill' not in pages.stranger().get("/sign-in").text
        assert pages.stranger().get("/feed/stream").status_code == 302


class TestCompleteness:
    def known(self, pages: Pages, day: date = DAY, **changes: object) -> None:
        pages.exchange.days[day] = TradingDay(day, **changes)  # type: ignore[arg-type]
        pages.feed.day(day)
        pages.feed.day(day - timedelta(days=1))
        pages.keeper.tend()

    @pytest.mark.parametrize("address", [LIVE, DESK])
    def test_is_on_the_page_and_leads_to_the_days_reconciliation(
        self, pages: Pages, ana: FlaskClient, address: str
    ) -> None:
        self.known(pages, complete_to_us=pages.exchange.us(-3), recovered=2, is_reconciled=True)
        page = ana.get(address).text

        assert text_of(page, "complete") == "✓ complete to 14:03:04 · 2 recovered"
        assert 'class="badge good" href="/reconciliation/2023-02-28"' in page

    def test_a_gap_is_said(self, pages: Pages, ana: FlaskClient) -> None:
        self.known(pages, complete_to_us=pages.exchange.us(-600), has_gap=True)

        assert text_of(ana.get(LIVE).text, "complete") == "▲ complete to 13:53:07 · a gap follows"

    def test_a_day_that_is_over_and_tied_out_is_complete(self, pages: Pages, ana: FlaskClient) -> None:
        yesterday = DAY - timedelta(days=1)
        ends_us = TradingDay(yesterday).ends_us
        self.known(pages, yesterday, complete_to_us=ends_us, is_reconciled=True, feed_only=1, differing=3)

        page = ana.get("/traders/trader_1/days/2023-02-27").text
        assert text_of(page, "complete") == "▲ complete · 4 to look at"

    def test_a_gap_of_the_day_before_is_said_too(self, pages: Pages, ana: FlaskClient) -> None:
        yesterday = DAY - timedelta(days=1)
        self.known(pages, yesterday, complete_to_us=TradingDay(yesterday).ends_us - 1, has_gap=True)
        self.known(pages, complete_to_us=pages.exchange.us())

        words = "▲ complete to 14:03:07 · gap on Mon 27 Feb"
        assert text_of(ana.get(LIVE).text, "complete") == words
        assert 'class="badge warn"' in ana.get(LIVE).text

    def test_a_delivery_day_to_come_speaks_of_todays_trading(self, pages: Pages, ana: FlaskClient) -> None:
        self.known(pages, complete_to_us=pages.exchange.us())

        page = ana.get("/desk/2023-03-01").text
        assert text_of(page, "complete") == "✓ complete to 14:03:07"
        assert 'href="/reconciliation/2023-02-28"' in page

    @pytest.mark.parametrize(
        ("changes", "tone", "symbol"),
        [
            ({}, "good", "✓"),
            ({"is_reconciled": True, "recovered": 2}, "good", "✓"),
            ({"is_reconciled": True, "feed_only": 7}, "warn", "▲"),
            ({"is_reconciled": True, "differing": 1}, "warn", "▲"),
            ({"has_gap": True}, "warn", "▲"),
        ],
    )
    @pytest.mark.parametrize("is_cut", [False, True])
    def test_header_and_tile_say_one_state_in_one_colour(
        self, pages: Pages, ana: FlaskClient, changes: dict[str, object], tone: str, symbol: str, is_cut: bool
    ) -> None:
        self.known(pages, complete_to_us=pages.exchange.us(-3), **changes)
        if is_cut:
            pages.exchange.now(is_connected=False, since_us=pages.exchange.us(-2))
            pages.keeper.tend()
            tone, symbol = "warn", "▲"
        page = ana.get(DESK).text

        assert f'class="badge {tone}"' in page
        assert f'class="block {tone}" data-class="b.complete"' in page
        assert text_of(page, "complete").startswith(f"{symbol} complete to 14:03:04")
        assert text_of(page, "b.complete") == f"{symbol} to 14:03:04"

    def test_a_file_that_waits_in_the_drop_folder_is_said_until_the_day_is_reconciled(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        file = WaitingFile("<epex>.csv", pages.exchange.us(-90), "somebody writes to it")
        pages.exchange.files_waiting = (file,)
        self.known(pages, complete_to_us=pages.exchange.us(-3))
        page = ana.get(DESK).text

        assert text_of(page, "complete") == "▲ complete to 14:03:04 · 1 file waits"
        note = "&lt;epex&gt;.csv waits since 14:01:37: somebody writes to it"
        assert text_of(page, "b.complete.note") == f"1 file waits, {note}"
        assert 'class="badge warn"' in page
        assert 'class="block warn" data-class="b.complete"' in page
        pages.exchange.files_waiting = (file, file)
        pages.clock.advance(3)
        self.known(pages)
        assert text_of(ana.get(DESK).text, "b.complete.note") == f"nobody listened, {note}"
        pages.clock.advance(3)
        self.known(pages, complete_to_us=pages.exchange.us(-9), is_reconciled=True)
        assert text_of(ana.get(DESK).text, "complete") == "✓ complete to 14:03:04"

    def test_what_is_old_is_muted_and_says_how_old(self, pages: Pages, ana: FlaskClient) -> None:
        self.known(pages, complete_to_us=pages.exchange.us(-3))
        pages.clock.advance(10)
        pages.feed.lost()
        page = ana.get(DESK).text

        for kind in ("badge", "block"):
            assert f'class="{kind} idle stale"' in page
        assert text_of(page, "complete") == "○ complete to 14:03:04 · known at 14:03:17"
        assert text_of(page, "b.complete.note") == "known at 14:03:17, the nightly file is still to come"

    @pytest.mark.parametrize("day", ["1990-01-01", "2199-12-31"])
    def test_the_ends_of_the_calendar_stop_no_watch(self, pages: Pages, ana: FlaskClient, day: str) -> None:
        assert ana.get(f"/desk/{day}").status_code == 200
        assert ana.get(f"/reconciliation/{day}").status_code == 200
        pages.keeper.tend()

        assert pages.feed.due() == []

    def test_what_nobody_knows_is_called_so(self, pages: Pages, ana: FlaskClient) -> None:
        pages.keeper.tend()

        assert text_of(ana.get(LIVE).text, "complete") == "– completeness not known"


class TestKeepingItInMemory:
    def test_refreshes_ask_nobody(self, pages: Pages, ana: FlaskClient) -> None:
        ana.get(LIVE)
        pages.keeper.tend()
        asked = list(pages.exchange.calls)
        for _ in range(5):
            for address in (LIVE, DESK, "/feed", "/reconciliation/2023-02-28"):
                ana.get(address)

        assert pages.exchange.calls == asked

    def test_only_days_in_use_are_asked_for_and_settled_ones_rarely(self, pages: Pages) -> None:
        old = DAY - timedelta(days=9)
        pages.exchange.days[old] = TradingDay(old, complete_to_us=TradingDay(old).ends_us)
        pages.keeper.tend()
        assert pages.exchange.calls == ["status"]

        pages.feed.day(old)
        pages.keeper.tend()
        pages.clock.advance(CLOSED_DAY_EVERY_S / 2)
        pages.keeper.tend()
        assert pages.exchange.calls.count(f"day {old}") == 1
        pages.clock.advance(CLOSED_DAY_EVERY_S / 2)
        pages.keeper.tend()
        assert pages.exchange.calls.count(f"day {old}") == 2

    def test_days_kept_are_bounded(self, pages: Pages) -> None:
        for number in range(MOST_DAYS + 9):
            pages.feed.day(DAY - timedelta(days=number))
            pages.clock.advance(0.1)
        pages.keeper.tend()

        assert len(pages.exchange.calls) == MOST_DAYS + 1

    def test_a_page_is_sent_again_when_the_feed_changed(self, pages: Pages, ana: FlaskClient) -> None:
        pages.keeper.tend()
        tags = {address: ana.get(address).headers["ETag"] for address in (LIVE, PNL)}
        for address, tag in tags.items():
            assert ana.get(address, headers={"If-None-Match": tag}).status_code == 304

        pages.exchange.now(is_connected=False)
        pages.keeper.tend()

        for address, tag in tags.items():
            assert ana.get(address, headers={"If-None-Match": tag}).status_code == 200

    def test_the_watcher_asks_by_itself_and_again_after_a_failure(self) -> None:
        clock = FakeClock(NOW)
        board, owner = FeedBoard(clock), FakeFeedOwner(clock)
        owner.is_away = True
        watcher = FeedWatcher(FeedKeeper(board, owner), board)
        watcher.start()
        try:
            wait_until(lambda: board.watch.lost_since, timeout_s=10, what="it says that it is lost")
            owner.is_away = False
            wait_until(lambda: board.watch.lost_since is None, timeout_s=10, what="it is found")
            board.day(DAY)
            found = wait_until(lambda: board.day(DAY), timeout_s=10, what="the day is known")
        finally:
            watcher.stop()
        assert found == TradingDay(DAY)

    def test_a_first_look_may_wait_for_its_answer(self) -> None:
        clock = FakeClock(NOW)
        board, owner = FeedBoard(clock), FakeFeedOwner(clock)
        watcher = FeedWatcher(FeedKeeper(board, owner), board)
        watcher.start()
        try:
            assert board.day(DAY, wait_s=10) == TradingDay(DAY)
        finally:
            watcher.stop()

    def test_without_an_owner_nothing_is_asked(self) -> None:
        board = FeedBoard(FakeClock(NOW), is_used=False)

        assert board.day(DAY, wait_s=10) is None
        assert board.due() == []
        board.lost()
        assert board.watch.lost_since is None

    def test_an_absent_owner_raises_to_its_caller(self) -> None:
        clock = FakeClock(NOW)
        owner = FakeFeedOwner(clock)
        owner.is_away = True

        with pytest.raises(Unavailable):
            FeedKeeper(FeedBoard(clock), owner).tend()


class TestTheReconciliation:
    @pytest.fixture
    def day(self, pages: Pages) -> TradingDay:
        heard = Statement("a", "sell", 12_300, 100, "2023-03-01", 14, pages.exchange.us())
        filed = replace(heard, trader_id="b", price_ct_per_mwh=200)
        differences = (
            Difference("t_1", "recovered", "only in the file"),  # compared before contents were kept
            Difference("t_2", "feed_only", "not in the file", feed=heard),
            Difference("<t_3>", "differs", "", file=filed, feed=heard),
            Difference("", "file_only", "row 7 is refused: not CSV"),
        )  # fmt: skip
        made = TradingDay(
            DAY, is_reconciled=True, file_name="epex_trades_20230228.csv", reconciled_us=pages.exchange.us(),
            in_both=1234, recovered=1, feed_only=1, differing=1, file_only=1, differences=differences,
        )  # fmt: skip
        pages.exchange.days[DAY] = made
        pages.feed.day(DAY)
        pages.keeper.tend()
        return made

    def rows(self, page: str) -> list[list[str]]:
        body = re.search(r'<tbody data-slot="rows">(.*?)</tbody>', page, flags=re.DOTALL)
        assert body is not None
        rows = re.findall(r"<tr>(.*?)</tr>", body.group(1), flags=re.DOTALL)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
        return [[re.sub(r"<[^>]+>", "|", cell) for cell in row] for row in cells]

    def test_shows_counts_and_both_versions_of_what_differs(self, ana: FlaskClient, day: TradingDay) -> None:
        page = ana.get("/reconciliation/2023-02-28").text

        assert text_of(page, "n.in_both") == "1,234"
        assert text_of(page, "n.file") == day.file_name
        rows = self.rows(page)
        kinds = [row[1].partition("|")[0] for row in rows]
        assert kinds == ["Recovered", "Only in the feed", "Differs", "Refused"]
        assert 'href="/corrections?trade_id=%3Ct_3%3E"' in page
        assert rows[2][0] == "|&lt;t_3&gt;|"
        assert rows[2][2].startswith("||a|| · 2023-03-01 14–15|sell 12.3 MW · |1.00 €/MWh||executed ")
        assert rows[2][3].startswith("||b|| · 2023-03-01 14–15|sell 12.3 MW · |2.00 €/MWh||executed ")
        assert 'href="/traders/b/days/2023-03-01"' in page
        assert "the file does not have it" in rows[1][3]
        assert rows[3][3] == "row 7 is refused: not CSV"

    def test_lists_what_the_exchange_never_stated_and_says_where_that_is_not_known(
        self, pages: Pages, ana: FlaskClient, day: TradingDay
    ) -> None:
        address = "/reconciliation/2023-02-28?kind=unconfirmed"
        assert text_of(ana.get(address).text, "n.unconfirmed") == "0"
        booked = Statement("a", "buy", 1_000, 100, "2023-03-01", 14, pages.exchange.us())
        pages.book.never_stated = (Difference("u_1", "unconfirmed", "not stated", booked=booked),)
        pages.clock.advance(UNCONFIRMED_EVERY_S)
        pages.keeper.tend()

        page = ana.get(address).text

        assert text_of(page, "n.unconfirmed") == "1"
        ((trade_id, kind, said, filed),) = self.rows(page)
        assert (trade_id, kind, filed) == ("|u_1|", "Unconfirmed", "not stated")
        assert said.startswith("booked: |")
        pages.book.never_stated = None
        pages.clock.advance(UNCONFIRMED_EVERY_S)
        pages.keeper.tend()
        assert text_of(ana.get(address).text, "n.unconfirmed") == "– (the book cannot be asked now)"

    def test_shows_one_kind_where_asked(self, ana: FlaskClient, day: TradingDay) -> None:
        assert len(self.rows(ana.get("/reconciliation/2023-02-28?kind=differs").text)) == 1
        assert len(self.rows(ana.get("/reconciliation/2023-02-28?kind=nonsense").text)) == 4

    def test_before_the_file_came_nothing_is_called_zero(self, pages: Pages, ana: FlaskClient) -> None:
        pages.feed.day(DAY)
        pages.keeper.tend()
        page = ana.get("/reconciliation/2023-02-28").text

        assert text_of(page, "n.in_both") == "– (not compared yet)"
        assert "it is due shortly after midnight" in page

    def test_addresses_lead_to_days(self, ana: FlaskClient) -> None:
        assert ana.get("/reconciliation").location == "/reconciliation/2023-02-28"
        assert ana.get("/reconciliation?day=2023-02-01").location == "/reconciliation/2023-02-01"
        assert ana.get("/reconciliation/today").location == "/reconciliation/2023-02-28"
        assert ana.get("/reconciliation/2023-02-30").status_code == 404


def test_silence_is_counted_from_the_connection_where_no_frame_came_yet() -> None:
    clock = FakeClock(NOW)
    owner = FakeFeedOwner(clock)
    owner.listeners[0] = replace(owner.listeners[0], last_frame_us=0, since_us=owner.us(-29))
    assert owner.status().standing.value == "live"

    clock.advance(2)
    assert owner.status().standing.value == "silent"


def test_only_failures_that_last_are_warned_of_once_and_their_end_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("a test")
    trying = Trying(log, lost="it is lost", found="it is found", backoff=Backoff(4.0, 4.0))
    caplog.set_level(logging.INFO)

    trying.failed("no")
    trying.worked()
    assert caplog.messages == []

    waited_s = 0.0
    while waited_s < LOUD_AFTER_S:
        assert caplog.messages == []
        waited_s += trying.failed("no")
    trying.failed("no")
    trying.worked()
    assert caplog.messages == ["it is lost, retrying", "it is found"]
