"""The page of corrections: old and new, what waits for the desk, and who may decide."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from report_service.clients.corrections import CorrectionsDesk
from report_service.domain.corrections import Content, Correction, Differing
from report_service.domain.feed import Statement
from wattbook.auth.gateway import Gateway
from wattbook.auth.people import Tokens
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.errors import Conflict, InvalidInput, WattbookError

from tests.unit.report_service.fakes import NOW
from tests.unit.report_service.test_pages import Pages, token_of


def content(price: int, *, trader_id: str = "trader_1") -> Content:
    said = Statement(trader_id, "sell", 12_300, price, "2023-02-28", 14, to_epoch_us(NOW))
    return Content(said, json.dumps({"price": price, "trader_id": trader_id}))


def differing(number: int, trade_id: str = "t_1") -> Differing:
    return Differing(number, trade_id, NOW, "file", content(99_900), content(12_000))


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def ana(pages: Pages) -> FlaskClient:
    return pages.as_("ana")


def ids(page: str, table: str) -> list[str]:
    found = re.search(rf'id="{table}">(.*?)</table>', page, flags=re.DOTALL)
    return re.findall(r'<th scope="row"><code>(.*?)</code>', found[1]) if found else []


class TestWhatWasCorrected:
    def test_stands_newest_first_old_and_new_beside_each_other_with_what_differs_in_bold(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.corrected.items = [
            Correction(3, "t_1", NOW, content(12_000), content(9_000)),
            Correction(5, "<t_2>", NOW, content(1), content(2), accepted_by="dora"),
        ]

        page = ana.get("/corrections").text

        assert ids(page, "corrections") == ["&lt;t_2&gt;", "t_1"]
        assert "<strong>120.00 €/MWh</strong>" in page
        assert "<strong>90.00 €/MWh</strong>" in page
        assert "sell 12.3 MW" in page
        assert "<strong>sell" not in page
        assert '<a href="/traders/trader_1/days/2023-02-28">' in page
        assert "accepted by dora" in page

    def test_leads_on_to_older_ones(self, pages: Pages, ana: FlaskClient) -> None:
        pages.corrected.items = [
            Correction(number, f"t_{number}", NOW, content(1), content(2)) for number in (1, 2, 3)
        ]
        page = ana.get("/corrections").text
        assert ids(page, "corrections") == ["t_3", "t_2"]
        older = re.search(r'href="([^"]+)"[^>]*title="Older', page)
        assert older is not None

        assert ids(ana.get(older[1]).text, "corrections") == ["t_1"]

    def test_hides_from_a_trader_what_is_another_traders(self, pages: Pages) -> None:
        pages.corrected.items = [Correction(3, "t_1", NOW, content(12_000), None)]
        pages.corrected.waiting = [differing(1)]

        page = pages.as_("tim").get("/corrections").text

        assert "another trader's" in page.replace("&#39;", "'")
        assert "Stated twice" not in page
        assert ids(page, "waiting") == []

    @pytest.mark.parametrize("number", ["x", "-1", "9" * 30, "\u0661"])
    def test_takes_a_place_that_is_none_for_the_beginning(self, ana: FlaskClient, number: str) -> None:
        assert ana.get("/corrections", query_string={"before": number, "after": number}).status_code == 200

    def test_is_not_for_somebody_without_a_role(self, pages: Pages) -> None:
        assert pages.as_("nobody").get("/corrections").status_code == 403
        assert pages.stranger().get("/corrections").status_code == 302


class TestWhatWaits:
    def test_shows_both_statements_and_of_one_trade_alone_where_asked(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.corrected.waiting = [differing(1), differing(2, "t_2"), differing(3, "t_3")]
        page = ana.get("/corrections").text

        assert ids(page, "waiting") == ["t_1", "t_2"]
        assert "<strong>999.00 €/MWh</strong>" in page
        assert "stated in a nightly file" in page
        assert ids(ana.get("/corrections?after=2").text, "waiting") == ["t_3"]
        assert ids(ana.get("/corrections?trade_id=t_2").text, "waiting") == ["t_2"]
        assert "Nothing waits about <code>t_9</code>" in ana.get("/corrections?trade_id=t_9").text

    @pytest.mark.parametrize("which", ["stated", "booked"])
    def test_is_decided_in_the_name_of_who_asks(self, pages: Pages, ana: FlaskClient, which: str) -> None:
        waits = differing(1)
        pages.corrected.waiting = [waits]
        page = ana.get("/corrections?trade_id=t_1")
        chosen: Content = getattr(waits, which)
        booked, stated = re.findall(r'name="content" value="([^"]*)"', page.text)
        assert {"booked": booked, "stated": stated}[which].replace("&#34;", '"') == chosen.json

        answer = ana.post("/corrections", data={**token_of(page), "content": chosen.json, "trade_id": "t_1"})

        assert (answer.status_code, answer.location) == (303, "/corrections?trade_id=t_1&done=accepted")
        assert pages.corrected.accepted == [("access-1", chosen.json)]
        assert "Decided." in ana.get(answer.location).text

    def test_says_what_is_wrong_where_the_exchange_has_not_stated_it(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.corrected.waiting = [differing(1)]
        form = token_of(ana.get("/corrections"))

        answer = ana.post("/corrections", data={**form, "content": "{}"})

        assert (answer.status_code, "has not stated it so." in answer.text) == (409, True)
        assert ids(answer.text, "waiting") == ["t_1"]

    def test_nobody_else_decides_and_no_form_of_another_site(self, pages: Pages, ana: FlaskClient) -> None:
        pages.corrected.waiting = [differing(1)]
        form = token_of(ana.get("/corrections"))
        tim = pages.as_("tim")

        assert ana.post("/corrections", data={"content": "{}"}).status_code in (400, 403)
        assert tim.post("/corrections", data={**form, "content": "{}"}).status_code in (400, 403)
        assert pages.corrected.accepted == []

    def test_is_led_to_from_the_quarantine(self, pages: Pages, ana: FlaskClient) -> None:
        number = pages.set_aside.add("stated by the exchange with another price", trade_id="t_1")
        other = pages.set_aside.add("already booked with another price", trade_id="t_1")

        assert 'href="/corrections?trade_id=t_1"' in ana.get(f"/quarantine/{number}").text
        assert "/corrections?trade_id" not in ana.get(f"/quarantine/{other}").text


TRADE: dict[str, Any] = {
    "id": "t_1", "price": 12_000, "quantity": 12.3, "direction": "sell", "delivery_day": "2023-02-28",
    "delivery_hour": 14, "trader_id": "trader_1", "execution_time": "2023-02-28T13:03:07Z",
}  # fmt: skip


class TestTheGatewaysWords:
    def desk(self, *answers: httpx.Response) -> tuple[CorrectionsDesk, list[httpx.Request]]:
        waiting, asked = list(answers), []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return waiting.pop(0)

        gateway = Gateway("http://gateway", FakeClock(NOW), transport=httpx.MockTransport(answer))
        return CorrectionsDesk(gateway), asked

    def test_a_page_says_where_it_goes_on(self) -> None:
        row = {"number": 7, "id": "t_1", "corrected_time": "2023-02-28T13:03:07Z", "accepted_by": None}
        link = {"Link": '</v1/trades/corrections?limit=100&before=7>; rel="next"'}
        desk, asked = self.desk(httpx.Response(200, json=[{**row, "replaced": TRADE}], headers=link))

        page = desk.page(Tokens("token", "", 0), before=9)

        (found,) = page.items
        assert (found.replaced and found.replaced.said, found.by) == (content(12_000).said, None)
        assert page.next_before == 7
        assert dict(asked[0].url.params) == {"limit": "100", "before": "9"}

    def test_what_is_accepted_is_what_the_gateway_told(self) -> None:
        row = {
            "number": 1, "id": "t_1", "stated_time": "2023-02-28T13:03:07Z", "stated_by": "feed",
            "stated": TRADE, "booked": {**TRADE, "price": 1}, "settled_time": None,
            "settled_by": None,
        }  # fmt: skip
        desk, asked = self.desk(httpx.Response(200, json=[row]), httpx.Response(200, json={}))

        (found,) = desk.differing(Tokens("token", "", 0), trade_id="t_1", after=0).items
        desk.accept(Tokens("token", "", 0), found.stated.json)

        assert json.loads(asked[1].content) == TRADE

    @pytest.mark.parametrize(("sent", "error"), [("{}", Conflict), ("", InvalidInput), ("{", InvalidInput)])
    def test_a_refusal_keeps_its_meaning(self, sent: str, error: type[WattbookError]) -> None:
        desk, _ = self.desk(httpx.Response(409, json={"status_code": 409, "message": "no"}))

        with pytest.raises(error):
            desk.accept(Tokens("token", "", 0), sent)
