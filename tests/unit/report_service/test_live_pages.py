"""The live pages over WSGI: what they show, who sees them, and what is kept."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from report_service.domain.feed import TradingDay
from report_service.domain.prices import DayKey, PollerState
from report_service.usecases.prices import PriceState

from tests.unit.report_service.fakes import DAY, booking, price
from tests.unit.report_service.test_pages import Pages

LIVE = "/traders/trader_1/days/2023-02-28"
DESK = "/desk/2023-02-28"


@pytest.fixture
def pages() -> Pages:
    made = Pages()
    made.board.prices(DayKey("DE", DAY))
    made.board.offer([price(14, "50"), price(15, "51", seq=2)])
    return made


@pytest.fixture
def ana(pages: Pages) -> FlaskClient:
    return pages.as_("ana")


def slot(page: str, name: str) -> str:
    found = re.search(rf'data-slot="{re.escape(name)}"[^>]*>(.*?)</(?:td|dd|p|div|span|g)>', page)
    assert found is not None, name
    return " ".join(re.sub(r"<[^>]+>", " ", found.group(1)).split())


class TestATradersDay:
    def test_shows_the_desks_own_sketch_and_what_follows_from_it(self, ana: FlaskClient) -> None:
        page = ana.get(LIVE).text

        assert slot(page, "h14.ours") == "55.71"
        assert slot(page, "h14.reference").endswith("50.00")
        assert "▲" in page
        assert slot(page, "h14.edge") == "+120.00"
        assert slot(page, "k.edge") == "+120.00"
        assert slot(page, "k.edge.note") == "1 trade not priced yet"
        assert page.count("no trades") >= 22
        assert "no reference price" in page

    def test_colour_is_the_lights_alone(self, ana: FlaskClient) -> None:
        for address in (LIVE, DESK, f"{LIVE}/trades/14-15"):
            toned = re.findall(r'class="([^"]*\b(?:good|bad)\b[^"]*)"', ana.get(address).text)
            elsewhere = {
                each for each in toned if not each.startswith(("light ", "key ", "block ", "badge "))
            }
            assert elsewhere <= {"good", "bad"}, "the marks of the light's own chart"

    @pytest.mark.parametrize(
        ("trades", "hint"),
        [
            ([(True, 10, 60)], "bought above the reference"),
            ([(True, 10, 40)], "bought below the reference"),
            ([(True, 10, 50)], "bought at the reference"),
            ([(False, 10, 60)], "sold above the reference"),
            ([(True, 10, 45), (False, 4, 90)], "bought below the reference"),  # and the light is green
            ([(True, 4, 45), (False, 4, 90)], ""),
        ],
    )
    def test_the_lights_hint_says_how_the_larger_side_did(
        self, trades: list[tuple[bool, int, int]], hint: str
    ) -> None:
        booked = [booking(at, buy=buy, mw=mw, eur=eur) for at, (buy, mw, eur) in enumerate(trades, 1)]
        pages = Pages(tuple(booked))
        pages.board.prices(DayKey("DE", DAY))
        pages.board.offer([price(14, "50")])
        page = pages.as_("ana").get(LIVE).text

        for row in ("h14", "total"):
            cell = re.search(rf'data-slot="{row}.doing"[^>]*>(.*?)</td>', page)
            assert cell is not None
            assert (f'title="{hint}"' if hint else "<em>higher</em>") in cell.group(1)
        detail = pages.as_("ana").get(f"{LIVE}/prices/14-15").text
        assert f'data-slot="h14.side">{hint}</dd>' in detail, "where there is no hover"

    def test_pnl_says_what_it_leaves_out_and_edge_what_it_is(self, pages: Pages, ana: FlaskClient) -> None:
        pages.model.apply([booking(5, hour=15)])
        for address in (LIVE, DESK):
            page = ana.get(address).text
            assert re.search(r"cash so far, open position </span><span>[+−][\d.,]+ MWh not valued", page)
            assert "Edge = PnL + open position × reference" in page

    def test_the_edges_bar_diverges_from_zero(self, ana: FlaskClient) -> None:
        assert re.search(
            r'data-slot="h14.gauge"><svg class="gauge"[^>]*><rect x="24" y="1" width="24"', ana.get(LIVE).text
        )

    def test_a_price_tells_its_time_also_without_scripts(self, ana: FlaskClient) -> None:
        assert re.search(r'<time class="age" datetime="[^"]+Z" title="as of [^"]+ CET">', ana.get(LIVE).text)

    def test_needs_no_script_of_another_place_and_no_inline_style(self, ana: FlaskClient) -> None:
        for address in (LIVE, DESK):
            page = ana.get(address).text
            assert not re.findall(r"<script(?![^>]*\bsrc=)", page)
            assert not re.findall(r"\sstyle=|<style|\son\w+=", page)

    def test_is_refused_to_other_traders(self, pages: Pages) -> None:
        tim = pages.as_("tim")

        assert tim.get(LIVE).status_code == 200
        for address in ("/traders/trader_2/days/2023-02-28", DESK):
            assert tim.get(address).status_code == 403
            assert tim.get(f"{address}/stream").status_code == 403
        assert pages.stranger().get(f"{LIVE}/stream").status_code == 302

    def test_is_not_sent_again_while_nothing_changed(self, pages: Pages, ana: FlaskClient) -> None:
        tag = ana.get(LIVE).headers["ETag"]
        assert ana.get(LIVE, headers={"If-None-Match": tag}).status_code == 304
        calls = pages.calls
        assert ana.get(LIVE, headers={"If-None-Match": tag}).status_code == 304
        assert pages.calls == calls

        pages.board.offer([price(14, "49", at_s=1_677_590_000, seq=3)])
        changed = ana.get(LIVE, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert slot(changed.text, "h14.reference").endswith("49.00")

        pages.model.apply([booking(5, hour=15)])
        again = ana.get(LIVE, headers={"If-None-Match": changed.headers["ETag"]})
        assert again.status_code == 200

    @pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"b', "ä/ö"])
    def test_odd_names_are_shown_as_they_are(self, name: str) -> None:
        pages = Pages((booking(1, trader=name),))
        ana = pages.as_("ana")

        for address in ("/desk/2023-02-28",):
            assert "<script>alert" not in ana.get(address).text
        link = re.search(r'<a class="through" href="([^"]+)"', ana.get(DESK).text)
        assert link is not None
        assert ana.get(link.group(1)).status_code == 200

    def test_a_lost_owner_of_prices_is_said_and_prices_stay(self, pages: Pages, ana: FlaskClient) -> None:
        pages.board.lost()
        page = ana.get(LIVE).text

        assert "Not connected to the reference prices since Tue 28 Feb 2023, 14:03:07 CET." in page
        assert slot(page, "h14.reference").endswith("50.00")

    @pytest.mark.parametrize("day", ["2023-02-30", "yesterday"])
    def test_what_is_no_day_is_not_found(self, ana: FlaskClient, day: str) -> None:
        assert ana.get(f"/traders/trader_1/days/{day}").status_code == 404
        assert ana.get(f"/desk/{day}").status_code == 404

    def test_an_empty_day_is_a_page_with_all_hours(self, ana: FlaskClient) -> None:
        page = ana.get("/traders/trader_1/days/2023-10-29").text

        assert page.count("data-start=") == 25


class TestTheDesk:
    def test_ranks_by_any_column_both_ways(self, pages: Pages, ana: FlaskClient) -> None:
        pages.model.apply([booking(5, trader="b", buy=False, mw=1, eur=70)])

        def names(sort: str) -> list[str]:
            return re.findall(r'class="through"[^>]*>([^<]+)<', ana.get(f"{DESK}?sort={sort}").text)

        assert names("trader") == ["b", "trader_1"]
        assert names("-trader") == ["trader_1", "b"]
        assert names("-pnl") == names("nonsense") == ["b", "trader_1"]
        assert names("pnl") == ["trader_1", "b"]
        for column in ("edge", "doing", "bought", "sold", "open", "trades", "last"):
            assert sorted(names(column)) == ["b", "trader_1"]

    def test_an_address_by_form_leads_to_the_day(self, ana: FlaskClient) -> None:
        assert ana.get("/desk").location == "/desk/2023-02-28"
        assert ana.get("/desk?day=2023-03-01&sort=-edge").location == "/desk/2023-03-01?sort=-edge"

    @pytest.mark.parametrize(
        ("trader", "cell"),
        [
            ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
            ("+1", "'+1"),
            ("-1+1", "'-1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("a;=1", "a;'=1"),
            ("\uff1d1", "'\uff1d1"),
            ("trader-1=a", "trader-1=a"),
        ],
    )
    def test_its_csv_holds_no_formula(self, trader: str, cell: str) -> None:
        pages = Pages((booking(1, trader=trader, buy=True, mw=1, eur=70),))

        _, row, total = csv.reader(io.StringIO(pages.as_("ana").get("/desk/2023-02-28.csv").text))

        assert row[0] == cell
        assert row[6] == "-70.00", "a figure is a figure"
        assert total[0] == "Total"

    @pytest.mark.parametrize("trader", [".", ".."])
    def test_an_id_that_no_address_can_hold_leads_to_words(self, trader: str) -> None:
        pages = Pages((booking(1, trader=trader),))
        ana = pages.as_("ana")
        link = re.search(r'<a class="through" href="([^"]+)"', ana.get(DESK).text)

        assert link is not None
        answer = ana.get(link.group(1))
        assert answer.status_code == 404
        assert "The API and the terminal show it." in answer.text
        assert ana.get(f"/traders?trader_id={trader}&day=2023-02-28").status_code == 404

    def test_a_day_without_trades_says_what_to_do_and_how_the_feed_is(self, ana: FlaskClient) -> None:
        page = ana.get("/desk/2024-01-01").text

        assert "No trades for delivery on" in page
        assert 'data-slot="b.feed"' in page

    def test_shows_feed_quarantine_and_provider_and_leads_to_their_pages(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.exchange.quarantined = 3
        pages.exchange.days[DAY] = TradingDay(
            DAY, complete_to_us=pages.exchange.us(), recovered=2, is_reconciled=True
        )
        pages.board.note(PollerState(21, 640, 1_677_588_600, periods_tradable=30, periods_fresh=29))
        ana.get(DESK)
        pages.keeper.tend()
        page = ana.get(DESK).text

        assert slot(page, "b.feed") == "● live"
        assert slot(page, "b.complete") == "✓ to 14:03:07"
        assert slot(page, "b.complete.note") == "2 recovered"
        assert slot(page, "b.quarantine") == "▲ 3"
        assert slot(page, "b.prices") == "● cycle 13:50"
        assert slot(page, "b.prices.note") == "29 of 30 tradable hours fresh"
        assert slot(page, "b.budget").startswith("✓ 21 · 640")
        for address in ("/feed", "/quarantine", "/reconciliation/2023-02-28", "/prices/2023-02-28"):
            assert f'<dt><a href="{address}">' in page

    def test_a_provider_in_trouble_is_said_with_its_reason(self, pages: Pages, ana: FlaskClient) -> None:
        trouble_us = pages.exchange.us(-60)
        pages.board.note(PollerState(21, 49, 1_677_588_600, "it answers 503", trouble_us))
        page = ana.get(DESK).text

        assert slot(page, "b.prices") == "▼ in trouble"
        assert slot(page, "b.prices.note") == "since 14:02:07: it answers 503"
        assert slot(page, "b.budget").startswith("▲ 21 · 49")

    def test_totals_have_a_last_trade_and_a_sparkline_too(self, pages: Pages, ana: FlaskClient) -> None:
        pages.model.apply([booking(5, trader="b", buy=False, mw=1, eur=70)])
        page = ana.get(DESK).text

        assert slot(page, "total.last") == "12:00:00"
        points = re.findall(r'<polyline points="([^"]+)"', page)
        assert [len(each.split()) for each in points] == [24, 24, 24]

    def test_can_be_had_as_csv_in_the_order_of_the_page(self, pages: Pages, ana: FlaskClient) -> None:
        pages.model.apply([booking(5, trader="b", buy=False, mw=1, eur=70)])
        answer = ana.get("/desk/2023-02-28.csv?sort=-trader")
        header, *rows = csv.reader(io.StringIO(answer.text))

        assert answer.content_type == "text/csv; charset=utf-8"
        assert 'filename="desk_2023-02-28.csv"' in answer.headers["Content-Disposition"]
        assert [row[0] for row in rows] == ["trader_1", "b", "Total"]
        assert rows[1][header.index("PnL [EUR]")] == "70.00"
        assert rows[2][header.index("Number of trades")] == "4"
        assert rows[1][header.index("Last trade")] == "2023-02-28T11:00:00.000005Z"
        assert "/desk/2023-02-28.csv?sort=-trader" in ana.get(f"{DESK}?sort=-trader").text
        tag = answer.headers["ETag"]
        assert ana.get("/desk/2023-02-28.csv?sort=-trader", headers={"If-None-Match": tag}).status_code == 304
        assert pages.as_("tim").get("/desk/2023-02-28.csv").status_code == 403


class TestStreams:
    @pytest.fixture
    def streaming(self, pages: Pages) -> Iterator[Pages]:
        pages.site.hub.start()
        yield pages
        pages.site.hub.stop()

    def several(self, *topics: str) -> str:
        return "/stream?" + "&".join(f"t={quote(topic, safe='')}&v=" for topic in topics)

    def test_carry_the_same_slots_as_the_page(self, streaming: Pages) -> None:
        ana = streaming.as_("ana")
        page, answer = ana.get(LIVE).text, ana.get(f"{LIVE}/stream")
        version = re.search(r'data-version="(\w+)"', page)
        head, change = answer.text.split("\n\n")[:2]
        lines = change.split("\n")
        (topic,) = json.loads(head.split("data: ")[1])["topics"]

        assert answer.content_type == "text/event-stream; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert version is not None
        assert lines[0] == f"id: {topic}.{version.group(1)}"
        slots = json.loads(lines[2].removeprefix("data: "))
        for name, text in slots.items():
            if not name.startswith("c:") and name != "layout":
                assert text in page, name

    def test_several_come_on_one_and_whose_are_not_the_readers_are_left_out(self, streaming: Pages) -> None:
        asked = self.several(
            f"{LIVE}/stream", f"{DESK}/stream", "/nowhere/stream", "/stream?t=x", "/sign-out"
        )
        answers = {name: streaming.as_(name).get(asked) for name in ("ana", "tim")}
        told = {
            name: json.loads(answer.text.split("\n")[1].removeprefix("data: "))["topics"]
            for name, answer in answers.items()
        }

        assert [topic is not None for topic in told["ana"]] == [True, True, False, False, False]
        assert [topic is not None for topic in told["tim"]] == [True, False, False, False, False]
        assert answers["ana"].text.count("event: change") == 2
        assert answers["tim"].text.count("event: change") == 1
        assert streaming.stranger().get(asked).status_code == 302
        assert streaming.as_("tim").get(self.several(f"{DESK}/stream")).status_code == 403
        assert streaming.as_("tim").get("/stream").status_code == 404

    def test_a_name_with_odd_characters_has_its_stream_among_several(self) -> None:
        pages = Pages((booking(1, trader="ä/ö?&=%"),))
        pages.site.hub.start()
        ana = pages.as_("ana")
        link = re.search(r'<a class="through" href="([^"]+)"', ana.get(DESK).text)
        assert link is not None
        stream = re.search(r'data-stream="([^"]+)"', ana.get(link.group(1)).text)
        assert stream is not None

        answer = ana.get(self.several(html.unescape(stream.group(1))))

        pages.site.hub.stop()
        assert answer.text.count("event: change") == 1

    def test_are_refused_while_there_is_no_room(self, ana: FlaskClient) -> None:
        assert ana.get(f"{LIVE}/stream").status_code == 503  # the hub is not started


class TestColumns:
    SKETCH = 'data-show="ours reference age doing"'

    def test_the_desks_own_sketch_comes_first_and_a_choice_is_remembered(self, ana: FlaskClient) -> None:
        assert self.SKETCH in ana.get(LIVE).text

        answer = ana.post("/columns", data={"preset": "pnl", "return_to": LIVE})

        assert answer.location == LIVE
        assert 'data-show="trades buy_mw sell_mw pnl"' in ana.get(LIVE).text

    def test_any_columns_can_be_chosen_one_by_one(self, ana: FlaskClient) -> None:
        ana.post("/columns", data={"column": ["edge", "ours"], "return_to": LIVE})

        page = ana.get(LIVE).text
        assert 'data-show="ours edge"' in page
        assert page.count("checked") == 2
        assert page.count('aria-pressed="true"') == 1  # the colours; no preset

    @pytest.mark.parametrize("form", [{}, {"column": "x"}, {"preset": "x"}])
    def test_what_is_no_choice_is_the_sketch(self, ana: FlaskClient, form: dict[str, str]) -> None:
        assert ana.post("/columns", data={**form, "return_to": "//evil"}).location == "/"
        assert self.SKETCH in ana.get(LIVE).text


def test_the_series_for_the_charts_are_numbers(ana: FlaskClient) -> None:
    text = slot(ana.get(LIVE).text, "series").replace("&#34;", '"')
    series = json.loads(text)

    assert len(series["ours"]) == len(series["running"]) == 24
    assert (series["ours"][14], series["reference"][14], series["ours"][0]) == (55.71, 50.0, None)


def test_without_an_owner_of_prices_each_missing_one_has_its_reason(pages: Pages) -> None:
    pages.board._state = PriceState(is_used=False)
    page = pages.as_("ana").get("/traders/trader_1/days/2023-03-01").text

    assert "lights stay grey" in page
    assert slot(page, "h14.reference") == "– (reference prices are not set up here)"


def test_where_the_page_was_before_leads_to_where_it_is(ana: FlaskClient) -> None:
    assert (
        ana.get("/traders/a%2Fb/live/2023-02-28?area=AT").location == "/traders/a%2Fb/days/2023-02-28?area=AT"
    )
    assert ana.get("/traders/trader_1/live/today").location == "/traders/trader_1/days/today"
    assert ana.get("/traders/trader_1/live/2023-02-28/stream").status_code == 503  # the hub is not started
