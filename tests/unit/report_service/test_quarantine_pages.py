"""The quarantine's pages: what waits, what becomes of it, and who may."""

from __future__ import annotations

import re

import httpx
import pytest
from flask.testing import FlaskClient
from report_service.clients.desk import QuarantineDesk
from report_service.domain.quarantine import Quarantined
from wattbook.auth.gateway import Gateway
from wattbook.auth.people import Tokens
from wattbook.clock import FakeClock
from wattbook.errors import Conflict, Forbidden, NotFound, Unavailable, WattbookError

from tests.unit.report_service.fakes import NOW
from tests.unit.report_service.test_pages import Pages, token_of

FRAME = b'{"weather": "<b>fine</b>"}'


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def ana(pages: Pages) -> FlaskClient:
    return pages.as_("ana")


def numbers(page: str) -> list[str]:
    return re.findall(r'<a class="through" href="/quarantine/(\d+)"', page)


class TestTheList:
    def test_shows_what_waits_newest_first_with_reason_age_and_source(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.set_aside.add("no JSON")
        pages.set_aside.add("<script>", trade_id="t_7")
        pages.clock.advance(61)
        page = ana.get("/quarantine").text

        assert numbers(page) == ["2", "1"]
        for words in ("no JSON", "&lt;script&gt;", "ws://exchange", "61 s", "t_7", "14:03:07"):
            assert words in page
        assert '<strong data-slot="kept.quarantined">2</strong>' in page

    def test_leads_on_to_older_ones_and_to_other_states(self, pages: Pages, ana: FlaskClient) -> None:
        for _ in range(3):
            pages.set_aside.add()
        page = ana.get("/quarantine").text
        older = re.search(r'href="([^"]+)"[^>]*title="Older', page)
        assert older is not None
        assert numbers(ana.get(older.group(1).replace("&amp;", "&")).text) == ["1"]

        pages.set_aside.items[3] = pages.set_aside.drop(Tokens("ana", "", 0), 3, reason="x")
        assert numbers(ana.get("/quarantine?state=dropped").text) == ["3"]
        assert numbers(ana.get("/quarantine?state=all").text) == ["3", "2"]

    def test_says_what_to_expect_where_nothing_waits(self, ana: FlaskClient) -> None:
        assert "Nothing waits." in ana.get("/quarantine").text

    def test_says_which_node_does_not_answer(self, pages: Pages, ana: FlaskClient) -> None:
        pages.set_aside.add()
        assert "does not answer" not in ana.get("/quarantine").text
        pages.set_aside.away = (1,)

        page = ana.get("/quarantine").text

        assert "Node 1 does not answer." in page
        assert numbers(page) == ["1"]

    @pytest.mark.parametrize("address", ["/quarantine", "/quarantine/1"])
    def test_is_for_the_desk_only(self, pages: Pages, address: str) -> None:
        pages.set_aside.add()
        refused = pages.as_("tim").get(address)

        assert refused.status_code == 403
        assert "How many wait is on the page Feed." in refused.text
        assert "no JSON" not in refused.text
        assert pages.set_aside.asked_by == []
        assert pages.stranger().get(address).status_code == 302

    def test_a_gateway_that_is_away_is_a_page_with_a_way_on(self, pages: Pages, ana: FlaskClient) -> None:
        pages.set_aside.is_away = True
        answer = ana.get("/quarantine")

        assert answer.status_code == 503
        assert "Try again" in answer.text


class TestAnItem:
    def test_shows_its_frame_as_it_came(self, pages: Pages, ana: FlaskClient) -> None:
        number = pages.set_aside.add(frame=FRAME)
        page = ana.get(f"/quarantine/{number}").text

        assert "{&#34;weather&#34;: &#34;&lt;b&gt;fine&lt;/b&gt;&#34;}" in page

    def test_shows_bytes_where_it_is_no_text(self, pages: Pages, ana: FlaskClient) -> None:
        number = pages.set_aside.add(frame=b"\xff\x00" + b"a" * 16)

        assert "000000  ff 00 61" in ana.get(f"/quarantine/{number}").text

    def test_is_replayed_in_the_name_of_who_asks(self, pages: Pages, ana: FlaskClient) -> None:
        number = pages.set_aside.add()
        form = token_of(ana.get(f"/quarantine/{number}"))
        answer = ana.post(f"/quarantine/{number}/replay", data=form)

        assert (answer.status_code, answer.location) == (303, f"/quarantine/{number}?done=replay")
        assert pages.set_aside.items[number].state == "replayed"
        assert pages.set_aside.items[number].decided_by == "access-1"
        assert "handed to the book again" in ana.get(answer.location).text

    def test_is_booked_for_the_trader_whom_the_desk_names(self, pages: Pages, ana: FlaskClient) -> None:
        number = pages.set_aside.add()
        form = token_of(ana.get(f"/quarantine/{number}"))
        answer = ana.post(f"/quarantine/{number}/replay", data={**form, "trader": "trader_x"})

        assert "(booked for trader_x)" in ana.get(answer.location).text

    def test_says_so_where_it_still_cannot_be_read(self, pages: Pages, ana: FlaskClient) -> None:
        number = pages.set_aside.add()
        pages.set_aside.is_mended = False
        form = token_of(ana.get(f"/quarantine/{number}"))
        answer = ana.post(f"/quarantine/{number}/replay", data=form, follow_redirects=True)

        assert "Still not readable." in answer.text
        assert "still no JSON" in answer.text

    def test_is_dropped_with_a_reason_and_not_without(self, pages: Pages, ana: FlaskClient) -> None:
        number = pages.set_aside.add()
        form = token_of(ana.get(f"/quarantine/{number}"))

        refused = ana.post(f"/quarantine/{number}/drop", data={**form, "reason": " "})
        assert refused.status_code == 400
        assert "Say why" in refused.text
        assert pages.set_aside.items[number].state == "open"

        dropped = ana.post(f"/quarantine/{number}/drop", data={**form, "reason": "no trade"})
        assert dropped.status_code == 303
        page = ana.get(dropped.location).text
        assert "(dropped: no trade)" in page
        assert "Replay" not in page

    def test_a_refusal_is_said_beside_the_item(self, pages: Pages, ana: FlaskClient) -> None:
        number = pages.set_aside.add()
        form = token_of(ana.get(f"/quarantine/{number}"))
        ana.post(f"/quarantine/{number}/drop", data={**form, "reason": "no trade"})
        answer = ana.post(f"/quarantine/{number}/replay", data=form)

        assert answer.status_code == 409
        assert f"{number} was dropped by access-1." in answer.text

    @pytest.mark.parametrize("what", ["replay", "drop"])
    def test_nothing_is_decided_by_a_form_of_another_site(
        self, pages: Pages, ana: FlaskClient, what: str
    ) -> None:
        number = pages.set_aside.add()

        answer = ana.post(f"/quarantine/{number}/{what}", data={"reason": "x"})

        assert answer.status_code == 403
        assert pages.set_aside.items[number].state == "open"

    def test_nothing_is_decided_by_a_trader(self, pages: Pages) -> None:
        number = pages.set_aside.add()
        tim = pages.as_("tim")
        form = token_of(tim.get("/sign-out"))

        for what in ("replay", "drop"):
            answer = tim.post(f"/quarantine/{number}/{what}", data={**form, "reason": "x"})
            assert answer.status_code == 403
        assert pages.set_aside.items[number].state == "open"

    @pytest.mark.parametrize("number", ["9", "0", "-1", "x", "9" * 400])
    def test_what_is_not_there_is_not_found(self, ana: FlaskClient, number: str) -> None:
        assert ana.get(f"/quarantine/{number}").status_code == 404


class TestTheGatewaysWords:
    """The client against what the gateway's document says."""

    def desk(self, *answers: httpx.Response) -> tuple[QuarantineDesk, list[httpx.Request]]:
        waiting, asked = list(answers), []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return waiting.pop(0)

        gateway = Gateway("http://gateway", FakeClock(NOW), transport=httpx.MockTransport(answer))
        return QuarantineDesk(gateway), asked

    def test_a_page_carries_who_asks_and_where_it_goes_on(self) -> None:
        item = {
            "id": 7, "received": "2023-02-28T13:03:07Z", "origin": "booking", "reason": "no", "state": "open",
            "decided_by": None, "decided": None, "trade_id": None,
        }  # fmt: skip
        link = {"Link": '</v1/quarantine?state=open&limit=100&cursor=700-7>; rel="next"'}
        desk, asked = self.desk(
            httpx.Response(200, json={"items": [item], "open": 3, "nodes_away": [1]}, headers=link)
        )

        page = desk.page(Tokens("token", "", 0), state="open", before="900-9")

        assert page.items == (Quarantined(7, "open", "no", "booking", NOW),)
        assert (page.open_count, page.next_before, page.nodes_away) == (3, "700-7", (1,))
        assert asked[0].headers["Authorization"] == "Bearer token"
        assert dict(asked[0].url.params) == {"limit": "100", "state": "open", "cursor": "900-9"}

    @pytest.mark.parametrize(
        ("status", "error"),
        [(401, Forbidden), (403, Forbidden), (404, NotFound), (409, Conflict), (503, Unavailable)],
    )
    def test_a_refusal_keeps_its_meaning(self, status: int, error: type[WattbookError]) -> None:
        desk, _ = self.desk(httpx.Response(status, json={"status_code": status, "message": "no"}))

        with pytest.raises(error):
            desk.replay(Tokens("token", "", 0), 7)

    def test_an_answer_that_is_no_json_is_a_refusal_too(self) -> None:
        desk, _ = self.desk(httpx.Response(502, text="bad gateway"))

        with pytest.raises(Unavailable):
            desk.show(Tokens("token", "", 0), 7)
