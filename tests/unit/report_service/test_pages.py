"""The pages over WSGI: who gets in, what is shown, what is kept, what is refused."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from types import CodeType

import pytest
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from report_service.api.assets import Assets
from report_service.api.front import Front, Health
from report_service.api.sessions import EncryptedSessions
from report_service.api.site import Site
from report_service.api.streaming import Streaming
from report_service.api.streams import Hub
from report_service.api.web import build_web
from report_service.domain.book import Booking
from report_service.usecases.cash import CashBoard, CashOwner
from report_service.usecases.corrections import Corrections
from report_service.usecases.details import Details
from report_service.usecases.feed import FeedBoard, FeedKeeper, Unconfirmed
from report_service.usecases.follow import Follower
from report_service.usecases.model import ReadModel
from report_service.usecases.performance import Performances
from report_service.usecases.prices import PriceBoard
from report_service.usecases.quarantine import Quarantine
from wattbook.auth.people import People, Person
from wattbook.auth.revocations import Revocation, Revocations
from wattbook.clock import FakeClock
from wattbook.errors import TooManyRequests, Unavailable
from wattbook.pages import safe_address
from wattbook.proxies import TrustedProxies
from werkzeug.test import TestResponse

from tests.unit.report_service.as_wsgi import AsWsgi
from tests.unit.report_service.fakes import (
    NOW,
    FakeCorrections,
    FakeFeedOwner,
    FakeGateway,
    FakePriceOwner,
    FakeQuarantine,
    FakeTradeBook,
    booking,
)

SECRET = "a long random text for tests"
PAGE = "/traders/trader_1/days/2023-02-28"
HOUR_S = 3600
TRADES = (
    booking(1, buy=False, mw=10, eur=60),
    booking(2, buy=True, mw=4, eur=45),
    booking(3, buy=True, mw=1234.5, eur=1, hour=3),
    booking(4, trader="trader_2", mw=2, eur=-15.5, day=date(2023, 3, 1)),
)


class Compiled(BytecodeCache):
    """Templates, compiled once a run: most of what a test of pages costs."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


COMPILED = Compiled()


class Pages:
    """The pages over fakes, with a browser for each person."""

    def __init__(
        self,
        trades: tuple[Booking, ...] = TRADES,
        *,
        is_loaded: bool = True,
        hub: Hub | None = None,
        cash: CashOwner | None = None,
    ) -> None:
        self.clock = FakeClock(NOW)
        self.model = ReadModel(self.clock)
        self.book = FakeTradeBook(trades)
        if is_loaded:
            Follower(self.model, self.book, self.clock).start_over()
        self.gateway = FakeGateway(
            self.clock,
            ana=Person("ana", ("desk",)),
            tim=Person("tim", ("trader",), "trader_1"),
            lost=Person("lost", ("trader",), None),
            nobody=Person("nobody", (), "trader_1"),
            root=Person("root", ("admin",), None),
            tess=Person("tess", ("treasurer",)),
            sue=Person("sue", ("support",)),
        )
        self.revocations = Revocations(self.clock, is_used=False)
        people = People(
            self.gateway, self.clock, idle_s=2 * HOUR_S, longest_s=12 * HOUR_S, revocations=self.revocations
        )
        sessions = EncryptedSessions(SECRET, cookie="session", secure=False, longest_s=12 * HOUR_S)
        self.board = PriceBoard(self.clock)
        performances = Performances(self.model, self.board)
        self.feed = FeedBoard(self.clock)
        self.exchange = FakeFeedOwner(self.clock)
        self.set_aside = FakeQuarantine()
        self.keeper = FeedKeeper(self.feed, self.exchange, unconfirmed=Unconfirmed(self.book, self.clock))
        self.prices = FakePriceOwner()
        details = Details(self.book, self.prices)
        self.corrected = FakeCorrections()
        asked = Quarantine(self.set_aside), Corrections(self.corrected)
        self.cash = CashBoard(cash, self.clock)
        hub = hub or Hub(self.clock)
        parts = performances, people, self.clock, Assets(), hub, self.feed, *asked, details
        self.site = Site(*parts, self.cash)
        self.app = build_web(self.site, secret=SECRET, sessions=sessions)
        self.app.jinja_env.bytecode_cache = COMPILED
        self.calls = 0
        inner = self.app.wsgi_app

        def counted(environ: dict[str, object], start_response: object) -> object:
            self.calls += 1
            return inner(environ, start_response)  # type: ignore[arg-type]

        self.front = Front(
            Streaming(counted, self.site.hub),  # type: ignore[arg-type]
            health=Health(self.model),
            clock=self.clock,
            proxies=TrustedProxies(("10.0.0.0/8",)),
            route_of=lambda _method, _path: "",
        )
        self.app.wsgi_app = AsWsgi(self.front)  # type: ignore[assignment,method-assign]

    def stranger(self) -> FlaskClient:
        return self.app.test_client()

    def as_(self, name: str) -> FlaskClient:
        client = self.stranger()
        answer = sign_in(client, name, self.gateway.password)
        assert answer.status_code == 303, answer.text
        return client


def sign_in(client: FlaskClient, name: str, password: str, **fields: str) -> TestResponse:
    form = token_of(client.get("/sign-in"))
    return client.post("/sign-in", data={**form, **fields, "username": name, "password": password})


def token_of(page: TestResponse) -> dict[str, str]:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return {"csrf_token": found.group(1)}


PNL_COLUMNS = ("trades", "buy_mw", "sell_mw", "pnl")


def table(page: TestResponse, columns: tuple[str, ...] = PNL_COLUMNS) -> list[list[str]]:
    """Label and some columns of each row."""
    found: list[list[str]] = []
    for row in re.findall(r"<tr\b.*?</tr>", page.text, flags=re.DOTALL):
        label = re.search(r"<th\b[^>]*>(.*?)</th>", row, flags=re.DOTALL)
        cells = dict(
            re.findall(r'<t[dh] (?:scope="col" )?class="([\w]+)[^>]*>(.*?)</t[dh]>', row, flags=re.DOTALL)
        )
        texts = [label.group(1) if label else "", *(cells.get(name, "") for name in columns)]
        found.append([re.sub(r"<[^>]+>", "", text).strip() for text in texts])
    return found


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def ana(pages: Pages) -> FlaskClient:
    return pages.as_("ana")


def shown_with(pages: Pages, cookie: str) -> int:
    """The status of a page to who has nothing but a cookie; the test client takes none as a header."""
    stranger = pages.stranger()
    stranger.set_cookie("session", cookie)
    return stranger.get(PAGE).status_code


class TestSigningIn:
    def test_leads_back_to_the_address_asked_for(self, pages: Pages) -> None:
        client = pages.stranger()
        asked = client.get(f"{PAGE}?area=DE")
        assert asked.status_code == 302
        form = client.get(asked.location)
        wanted = re.search(r'name="next" value="([^"]+)"', form.text)
        assert wanted is not None

        answer = sign_in(client, "ana", pages.gateway.password, next=wanted.group(1))

        assert answer.location == f"{PAGE}?area=DE"

    @pytest.mark.parametrize(
        "address",
        [
            *("//evil.example", "/\\evil.example", "/\\/evil.example", "\\\\evil", "https://evil.example"),
            *("javascript:alert(1)", "evil", "", "/a\nSet-Cookie: x=1", "/\tevil", "/" + "x" * 3000),
        ],
    )
    def test_never_leads_elsewhere(self, pages: Pages, address: str) -> None:
        assert sign_in(pages.stranger(), "ana", pages.gateway.password, next=address).location == "/"
        assert safe_address(address) == "/"

    def test_says_when_the_password_is_wrong_and_keeps_the_name(self, pages: Pages) -> None:
        answer = sign_in(pages.stranger(), "ana", "wrong")

        assert answer.status_code == 401
        assert "do not match" in answer.text
        assert 'value="ana"' in answer.text
        assert "wrong" not in answer.text

    def test_says_when_to_try_again_after_too_many(self, pages: Pages) -> None:
        pages.gateway.refusal = TooManyRequests("slow down", retry_after_s=30)
        answer = sign_in(pages.stranger(), "ana", "wrong")

        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "30"
        assert "Try again at 14:03:37 CET, in 30 s." in answer.text

    def test_says_when_the_gateway_is_away(self, pages: Pages) -> None:
        pages.gateway.refusal = Unavailable("the gateway, where people sign in, cannot be reached")
        answer = sign_in(pages.stranger(), "ana", "x")

        assert answer.status_code == 503
        assert "The gateway, where people sign in, cannot be reached." in answer.text

    @pytest.mark.parametrize("token", [None, "", "forged"])
    def test_takes_only_its_own_form(self, pages: Pages, token: str | None) -> None:
        client = pages.stranger()
        client.get("/sign-in")
        fields = {"username": "ana", "password": pages.gateway.password}
        answer = client.post("/sign-in", data=fields if token is None else {**fields, "csrf_token": token})

        assert answer.status_code == 403
        assert "expired" in answer.text
        assert pages.gateway.issued == 0

    def test_a_token_of_another_visitor_is_refused(self, pages: Pages) -> None:
        theirs = token_of(pages.stranger().get("/sign-in"))
        mine = pages.stranger()
        mine.get("/sign-in")

        answer = mine.post("/sign-in", data={**theirs, "username": "ana", "password": pages.gateway.password})

        assert answer.status_code == 403

    def test_renews_the_session_so_that_a_planted_one_is_worth_nothing(self, pages: Pages) -> None:
        client = pages.stranger()
        form = client.get("/sign-in")
        before = client.get_cookie("session")
        client.post(
            "/sign-in", data={**token_of(form), "username": "ana", "password": pages.gateway.password}
        )
        after = client.get_cookie("session")

        assert before is not None
        assert after is not None
        assert before.value != after.value

    def test_keeps_tokens_out_of_the_browsers_sight(self, pages: Pages) -> None:
        client = pages.stranger()
        answer = sign_in(client, "ana", pages.gateway.password)
        cookie = answer.headers["Set-Cookie"]

        assert "access-1" not in cookie
        assert "refresh-1" not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie

    def test_marks_the_cookie_secure_over_https(self, pages: Pages) -> None:
        answer = pages.stranger().get("/sign-in", base_url="https://desk.example")

        assert "Secure" in answer.headers["Set-Cookie"]
        assert "max-age" in answer.headers["Strict-Transport-Security"]

    @pytest.mark.parametrize("cookie", ["", "x", "gAAAA", "ä", "gAAAAABl" + "A" * 3000])
    def test_a_forged_session_is_no_session(self, pages: Pages, cookie: str) -> None:
        assert shown_with(pages, cookie) == 302

    def test_a_session_under_another_key_is_no_session(self, pages: Pages, ana: FlaskClient) -> None:
        cookie = ana.get_cookie("session")
        assert cookie is not None
        own, pages.app.session_interface = (
            pages.app.session_interface,
            EncryptedSessions("another secret", cookie="session", secure=False, longest_s=HOUR_S),
        )

        assert shown_with(pages, cookie.value) == 302
        pages.app.session_interface = own
        assert shown_with(pages, cookie.value) == 200

    def test_an_ended_session_is_said_and_leads_back(self, pages: Pages, ana: FlaskClient) -> None:
        pages.clock.advance(3 * HOUR_S)
        answer = ana.get(PAGE)

        assert answer.location == f"/sign-in?next={PAGE}&ended=1"
        assert "session has ended" in ana.get(answer.location).text

    def test_roles_follow_the_gateway_when_the_token_runs_out(self, pages: Pages, ana: FlaskClient) -> None:
        assert ana.get(PAGE).status_code == 200
        pages.gateway.people["ana"] = Person("ana", ("trader",), "trader_2")
        pages.clock.advance(HOUR_S)

        assert ana.get(PAGE).status_code == 403


class TestSigningOut:
    def test_ends_the_session_at_the_gateway_too(self, pages: Pages, ana: FlaskClient) -> None:
        ana.post("/sign-out", headers={"Origin": "http://localhost"})

        assert pages.gateway.revoked == ["refresh-1"]

    def test_works_while_the_gateway_is_away(self, pages: Pages, ana: FlaskClient) -> None:
        pages.gateway.refusal = Unavailable("away")

        answer = ana.post("/sign-out", headers={"Origin": "http://localhost"})

        assert answer.location == "/sign-in"
        assert ana.get(PAGE).status_code == 302

    def test_a_form_on_our_pages_signs_out_at_once(self, ana: FlaskClient) -> None:
        answer = ana.post("/sign-out", headers={"Origin": "http://localhost"})

        assert answer.location == "/sign-in"
        assert ana.get(PAGE).status_code == 302

    @pytest.mark.parametrize(
        "headers",
        [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {}],
    )
    def test_a_form_elsewhere_does_not(self, ana: FlaskClient, headers: dict[str, str]) -> None:
        answer = ana.post("/sign-out", headers=headers)

        assert "Sign out?" in answer.text
        assert ana.get(PAGE).status_code == 200

    def test_a_browser_that_does_not_tell_is_asked_once_more(self, ana: FlaskClient) -> None:
        asked = ana.post("/sign-out")
        answer = ana.post("/sign-out", data=token_of(asked))

        assert answer.location == "/sign-in"


class TestTheDay:
    def test_shows_all_hours_and_the_total(self, ana: FlaskClient) -> None:
        rows = table(ana.get(PAGE))

        assert rows[0][1:] == ["Number of trades", "Total BUY MW", "Total SELL MW", "PnL €"]
        assert len(rows) == 1 + 24 + 1
        assert rows[15] == ["14–15", "2", "4.0", "10.0", "+420.00"]
        assert rows[4] == ["03–04", "1", "1,234.5", "0.0", "−1,234.50"]
        assert rows[-1] == ["Total", "3", "1,238.5", "10.0", "−814.50"]

    def test_says_what_is_not_known_and_why(self, ana: FlaskClient) -> None:
        page = ana.get("/traders/trader_2/days/2023-03-01").text

        assert "(nothing sold)" in page
        assert "−15.50" in page

    @pytest.mark.parametrize(
        ("language", "figure"),
        [
            ("de-DE,de;q=0.9", "1.234,5"),
            ("de-CH", "1’234.5"),
            ("fr", "1\u202f234,5"),
            ("en-US", "1,234.5"),
            ("xx", "1,234.5"),
        ],
    )
    def test_writes_figures_in_the_readers_way(self, ana: FlaskClient, language: str, figure: str) -> None:
        assert figure in ana.get(PAGE, headers={"Accept-Language": language}).text

    @pytest.mark.parametrize(("day", "hours"), [("2023-03-26", 23), ("2023-10-29", 25)])
    def test_lists_the_hours_that_a_day_has(self, ana: FlaskClient, day: str, hours: int) -> None:
        assert len(table(ana.get(f"/traders/trader_1/days/{day}"))) == hours + 2

    def test_an_empty_day_leads_to_the_nearest_with_trades(self, ana: FlaskClient) -> None:
        page = ana.get("/traders/trader_1/days/2023-03-05").text

        assert "No trades of trader_1" in page
        assert 'href="/traders/trader_1/days/2023-02-28"' in page

    def test_an_unknown_trader_is_an_empty_day_and_not_an_error(self, ana: FlaskClient) -> None:
        answer = ana.get("/traders/nobody/days/2023-02-28")

        assert answer.status_code == 200
        assert "no trade of this trader on any day" in answer.text

    @pytest.mark.parametrize(
        "trader", ["a b", "ä/ö", "<script>alert(1)</script>", "100%", "a?b#c", '"x"', "days"]
    )
    def test_odd_trader_names_are_shown_as_they_are(self, trader: str) -> None:
        pages = Pages((booking(1, trader=trader),))
        client = pages.as_("ana")
        listed = re.search(r'<a class="through" href="([^"]+)"', client.get("/traders").text)
        assert listed is not None

        page = client.get(listed.group(1).replace("&amp;", "&"))

        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert table(page)[-1][1] == "1"

    @pytest.mark.parametrize("address", ["2023-02-30", "2023-2-28", "yesterday", "1800-01-01", "2023-02-28x"])
    def test_a_day_that_is_none_is_not_found(self, ana: FlaskClient, address: str) -> None:
        answer = ana.get(f"/traders/trader_1/days/{address}")

        assert answer.status_code == 404
        assert answer.headers["X-Request-Id"] in answer.text

    def test_an_area_that_is_none_is_not_found(self, ana: FlaskClient) -> None:
        assert ana.get(f"{PAGE}?area=XX").status_code == 404
        assert ana.get(f"{PAGE}?area=AT").status_code == 200

    def test_today_is_the_day_it_is_in_the_area(self, pages: Pages) -> None:
        pages.clock.advance(10 * HOUR_S + 30 * 60)  # 00:33 in Berlin, still the 28th in London
        ana = pages.as_("ana")

        assert ana.get("/traders/x/days/today").location == "/traders/x/days/2023-03-01"
        assert ana.get("/traders/x/days/today?area=GB").location == "/traders/x/days/2023-02-28?area=GB"

    def test_shorter_addresses_lead_to_the_day(self, ana: FlaskClient) -> None:
        assert ana.get("/traders/trader_1/2023-02-28").location == PAGE
        assert ana.get("/traders/trader_1").location == "/traders/trader_1/days/today"

    def test_works_without_scripts_and_from_nowhere_else(self, ana: FlaskClient) -> None:
        page = ana.get(PAGE).text

        assert not re.findall(r"<script(?![^>]*\bsrc=)", page)
        assert not re.findall(r"\sstyle=|<style|\son\w+=", page)
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', page)
        assert "<svg" in page


class TestWhoSeesWhat:
    def test_a_trader_starts_at_their_own_day_and_others_where_they_pick(self, pages: Pages) -> None:
        assert pages.as_("tim").get("/").location == "/traders/trader_1/days/today"
        assert pages.as_("ana").get("/").location == "/traders"

    def test_a_trader_sees_only_their_own(self, pages: Pages) -> None:
        tim = pages.as_("tim")
        answer = tim.get("/traders/trader_2/days/2023-03-01")

        assert tim.get(PAGE).status_code == 200
        assert "trader_2" not in tim.get(PAGE).text
        assert answer.status_code == 403
        assert answer.headers["X-Request-Id"] in answer.text
        assert tim.get("/traders/trader_2/days/2023-03-01.csv").status_code == 403
        assert tim.get("/traders").location == "/traders/trader_1/days/today"

    def test_a_trader_without_a_trader_id_is_told_whom_to_ask(self, pages: Pages) -> None:
        answer = pages.as_("lost").get("/", follow_redirects=True)

        assert answer.status_code == 403
        assert "An administrator can link it" in answer.text

    @pytest.mark.parametrize(
        ("query", "leads_to"),
        [
            ("trader_id=trader_1", PAGE),
            ("trader_id=trader_1&day=2023-03-02", "/traders/trader_1/days/2023-03-02"),
            ("trader_id=%20trader_1%20", PAGE),
            ("trader_id=new&day=2023-03-02", "/traders/new/days/2023-03-02"),
        ],
    )
    def test_a_search_that_names_a_trader_leads_to_them(
        self, ana: FlaskClient, query: str, leads_to: str
    ) -> None:
        assert ana.get(f"/traders?{query}").location == leads_to

    def test_a_search_for_a_part_lists_those_that_match(self, ana: FlaskClient) -> None:
        found = table(ana.get("/traders?trader_id=R_2"))

        assert [row[0] for row in found[1:]] == ["trader_2"]
        assert "No known trader matches “zzz”" in ana.get("/traders?trader_id=zzz").text

    def test_an_empty_book_says_what_to_do(self) -> None:
        assert "The book is empty." in Pages(()).as_("ana").get("/traders").text


class TestTheCsv:
    def test_holds_the_table_exactly(self, ana: FlaskClient) -> None:
        answer = ana.get(f"{PAGE}.csv", headers={"Accept-Language": "de"})
        rows = list(csv.reader(io.StringIO(answer.text)))

        assert answer.content_type == "text/csv; charset=utf-8"
        assert rows[0] == ["Hour", "Number of trades", "Total BUY [MW]", "Total SELL [MW]", "PnL [EUR]"]
        assert rows[15] == ["14–15", "2", "4", "10", "420.00"]
        assert rows[-1] == ["Total", "3", "1238.5", "10", "-814.50"]
        assert len(rows) == 26

    def test_is_named_after_what_it_holds(self, ana: FlaskClient) -> None:
        named = ana.get("/traders/%C3%A4%22b/days/2023-02-28.csv").headers["Content-Disposition"]

        assert named == (
            "attachment; filename=\"pnl___b_2023-02-28.csv\"; filename*=UTF-8''pnl_%C3%A4%22b_2023-02-28.csv"
        )


class TestKeeping:
    @pytest.mark.parametrize("address", [PAGE, f"{PAGE}.csv"])
    def test_what_has_not_changed_is_not_sent_again(
        self, pages: Pages, ana: FlaskClient, address: str
    ) -> None:
        tag = ana.get(address).headers["ETag"]
        assert ana.get(address, headers={"If-None-Match": tag}).status_code == 304

        pages.model.apply([booking(5)])

        changed = ana.get(address, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag

    def test_a_repeated_request_does_not_reach_flask(self, pages: Pages, ana: FlaskClient) -> None:
        first = ana.get(PAGE)
        headers = {"If-None-Match": first.headers["ETag"]}
        ana.get(PAGE, headers=headers)
        calls = pages.calls

        again = [ana.get(PAGE, headers=headers) for _ in range(5)]

        assert pages.calls == calls
        assert {each.status_code for each in again} == {304}
        assert len({each.headers["X-Request-Id"] for each in again}) == 5
        assert ana.get(PAGE).data == first.data
        assert pages.calls == calls

    @pytest.mark.parametrize("what", ["figures", "feed", "newcomer", "signed out", "time"])
    def test_the_short_way_ends_with_whatever_the_page_follows_from(self, pages: Pages, what: str) -> None:
        client = pages.as_("ana")
        first = client.get(PAGE)
        if what == "figures":
            pages.model.apply([booking(5)])
        elif what == "feed":
            pages.model.lost()
        elif what == "newcomer":
            pages.model.apply([booking(5, trader="newcomer")])
        elif what == "signed out":
            client.post("/sign-out", headers={"Origin": "http://localhost"})
        else:
            pages.clock.advance(3 * HOUR_S)

        second = client.get(PAGE)

        if what in {"signed out", "time"}:
            assert second.status_code == 302
        else:
            assert second.headers["ETag"] != first.headers["ETag"]

    def test_two_people_do_not_share_a_page(self, pages: Pages) -> None:
        ana, tim = pages.as_("ana"), pages.as_("tim")
        tag = ana.get(PAGE).headers["ETag"]
        answer = tim.get(PAGE, headers={"If-None-Match": tag})

        assert answer.status_code == 200
        assert ">tim<" in answer.text
        assert ">ana<" not in answer.text

    def test_a_page_carries_nothing_of_a_single_request(self, pages: Pages) -> None:
        assert pages.as_("ana").get(PAGE).data == pages.as_("ana").get(PAGE).data

    def test_is_compressed_where_that_is_taken(self, ana: FlaskClient) -> None:
        plain = ana.get(PAGE)
        zipped = ana.get(PAGE, headers={"Accept-Encoding": "gzip"})

        assert "Content-Encoding" not in plain.headers
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert len(zipped.data) < len(plain.data) / 3
        assert "private" in plain.headers["Cache-Control"]
        assert "Cookie" in plain.headers["Vary"]

    def test_the_chosen_colours_are_part_of_the_page(self, ana: FlaskClient) -> None:
        light = ana.get(PAGE)
        chosen = ana.post("/theme", data={"theme": "dark", "return_to": PAGE})
        dark = ana.get(PAGE)

        assert chosen.location == PAGE
        assert 'data-theme="dark"' in dark.text
        assert dark.headers["ETag"] != light.headers["ETag"]
        assert ana.post("/theme", data={"theme": "x", "return_to": "//evil"}).location == "/"


class TestTheFeedsState:
    def test_before_the_first_snapshot_pages_say_so_and_try_again(self) -> None:
        pages = Pages(is_loaded=False)
        answer = pages.as_("ana").get(PAGE)

        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert 'http-equiv="refresh"' in answer.text
        assert pages.stranger().get("/readyz").status_code == 503
        assert pages.stranger().get("/healthz").status_code == 200

    def test_a_lost_connection_is_said_with_its_time_and_the_figures_stay(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.model.lost()
        page = ana.get(PAGE)

        assert "Not connected to the trade book since Tue 28 Feb 2023, 14:03:07 CET." in page.text
        assert "+420.00" in page.text
        assert ana.get("/readyz").json == {"status": "ok", "level_with_the_book": False}


class TestEveryAnswer:
    @pytest.mark.parametrize("address", ["/sign-in", PAGE, f"{PAGE}.csv", "/nothing/here", "/healthz"])
    def test_carries_the_protecting_headers(self, ana: FlaskClient, address: str) -> None:
        headers = ana.get(address).headers

        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Set-Cookie" not in ana.get(PAGE).headers

    def test_has_a_request_id_given_or_made(self, ana: FlaskClient) -> None:
        assert ana.get(PAGE, headers={"X-Request-Id": "abc-123"}).headers["X-Request-Id"] == "abc-123"
        assert ana.get(PAGE, headers={"X-Request-Id": "a b<"}).headers["X-Request-Id"] != "a b<"

    def test_a_fault_of_ours_is_a_page_without_its_reason(
        self, pages: Pages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = pages.as_("ana")

        def broken(*_: object) -> object:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(pages.model, "report", broken)
        answer = client.get(PAGE)

        assert answer.status_code == 500
        assert "secret detail" not in answer.text
        assert answer.headers["X-Request-Id"] in answer.text

    @pytest.mark.parametrize(
        ("method", "address", "status"),
        [
            ("GET", "/nothing", 404),
            ("DELETE", "/sign-in", 405),
            ("GET", "/static/../web.py", 404),
            ("GET", "/static/x", 404),
        ],
    )
    def test_other_requests_are_refused_as_pages(
        self, ana: FlaskClient, method: str, address: str, status: int
    ) -> None:
        assert ana.open(address, method=method).status_code == status

    def test_a_huge_form_is_refused(self, pages: Pages) -> None:
        assert sign_in(pages.stranger(), "ana", "x" * 100_000).status_code == 413

    def test_static_files_may_be_kept_for_ever_under_their_content(self, ana: FlaskClient) -> None:
        address = re.search(r'href="(/static/wattbook.css\?v=\w+)"', ana.get(PAGE).text)
        assert address is not None

        assert "immutable" in ana.get(address.group(1)).headers["Cache-Control"]
        assert ana.get("/static/wattbook.css?v=old").headers["Cache-Control"] == "no-cache"


class TestRights:
    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/feed", {"ana", "root"}),
            ("/feed/stream", {"ana", "root"}),
            ("/reconciliation", {"ana", "root"}),
            ("/reconciliation/2023-02-28", {"ana", "root"}),
            ("/reconciliation/2023-02-28/stream", {"ana", "root"}),
            ("/prices", {"ana", "root", "tim", "lost"}),
            ("/prices/2023-02-28", {"ana", "root", "tim", "lost"}),
            ("/prices/2023-02-28/stream", {"ana", "root", "tim", "lost"}),
            ("/status/stream", {"ana", "root", "tim", "lost", "nobody"}),
            ("/desk/2023-02-28", {"ana", "root"}),
            ("/desk/2023-02-28.csv", {"ana", "root"}),
            (PAGE, {"ana", "root", "tim"}),
            (f"{PAGE}.csv", {"ana", "root", "tim"}),
        ],
    )
    def test_a_page_shows_nobody_what_the_api_refuses_them(
        self, pages: Pages, path: str, allowed: set[str]
    ) -> None:
        everybody = ("ana", "root", "tim", "lost", "nobody")
        statuses = {name: pages.as_(name).get(path).status_code for name in everybody}

        assert {name for name, status in statuses.items() if status == 403} == set(everybody) - allowed
        assert {statuses[name] for name in allowed} <= {200, 302, 503}  # 503: no thread serves streams here

    def test_nothing_leads_a_trader_to_what_they_may_not_see_nor_tells_of_it(self, pages: Pages) -> None:
        for path in (PAGE, "/prices/2023-02-28"):
            shown = pages.as_("tim").get(path).text
            assert not re.findall(r'href="/(?:feed|reconciliation|quarantine|desk)', shown), path
        assert "Budget" not in shown


class TestEndedElsewhere:
    def test_no_kept_page_is_shown_to_whose_session_is_over(self, pages: Pages, ana: FlaskClient) -> None:
        assert [ana.get(PAGE).status_code for _ in range(2)] == [200, 200]

        pages.revocations.hear(1, [Revocation(1, "ana", None, 1)])

        answer = ana.get(PAGE)
        assert (answer.status_code, "ended" in answer.location) == (302, True)

    def test_a_copied_cookie_is_worth_nothing_once_its_owner_has_signed_out(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        cookie = ana.get_cookie("session")
        assert cookie is not None
        thief = pages.stranger()
        thief.set_cookie("session", cookie.value)
        assert thief.get(PAGE).status_code == 200

        ana.post("/sign-out", headers={"Origin": "http://localhost"})

        for path in (PAGE, f"{PAGE}.csv", f"{PAGE}/stream"):
            assert thief.get(path).status_code == 302

    def test_a_page_says_that_sessions_are_not_checked_and_for_how_long(
        self, pages: Pages, ana: FlaskClient
    ) -> None:
        pages.revocations.is_used = True
        pages.revocations.hear(0, [])
        assert "cannot be reached" not in ana.get(PAGE).text

        pages.clock.advance(125)

        assert "You stay signed in for 8 minutes at most." in ana.get(PAGE).text
