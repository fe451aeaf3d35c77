"""The pages about company cash: who may, what they show, and what stays while cash-service is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import pytest
from flask.testing import FlaskClient
from report_service.api.world import country_name, world
from report_service.clients.cash import CashService
from report_service.domain.cash import Look, buckets_between, moved, newest, start_of
from report_service.usecases.cash import CASH
from wattbook import rpc
from wattbook.walls import OPEN
from wattbook_proto import cash_pb2, cash_pb2_grpc, events_pb2

from tests.unit.gateway.fake_cash import OWN, FakeCash
from tests.unit.report_service.test_pages import Pages

COMPANY = "/cash/companies/7"
ALL = ["/cash", COMPANY, f"{COMPANY}/payments", f"{COMPANY}/set-aside"]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FakeCash, CashService]]:
    fake = FakeCash()
    server = rpc.Server("127.0.0.1:0", guard=OPEN)
    server.register(cash_pb2_grpc.add_CashServicer_to_server, fake, rules={})
    with rpc.channel(f"127.0.0.1:{server.start()}") as channel:
        yield fake, CashService(channel)
    server.stop(0)


@pytest.fixture
def bank(served: tuple[FakeCash, CashService]) -> FakeCash:
    fake = served[0]
    fake.down, fake.data_version, fake.asked = False, 12, []
    return fake


@pytest.fixture
def pages(served: tuple[FakeCash, CashService], bank: FakeCash) -> Pages:
    return Pages(cash=served[1])


@pytest.fixture
def tess(pages: Pages) -> FlaskClient:
    return pages.as_("tess")


class TestWhoMay:
    @pytest.mark.parametrize(("name", "status"), [("tess", 200), ("ana", 200), ("tim", 403), ("sue", 403)])
    def test_cash_is_for_treasurers_and_the_desk(self, pages: Pages, name: str, status: int) -> None:
        client = pages.as_(name)

        assert [client.get(path).status_code for path in ALL] == [status] * len(ALL)
        assert (client.get(f"{COMPANY}/stream").status_code == 403) == (status == 403)

    def test_strangers_are_asked_to_sign_in(self, pages: Pages) -> None:
        for path in ALL:
            assert pages.stranger().get(path).location.startswith("/sign-in?")

    def test_a_treasurer_starts_at_cash_and_sees_no_trades(self, tess: FlaskClient) -> None:
        assert tess.get("/").location == "/cash"
        assert tess.get("/desk").status_code == 403
        navigation = re.search(r'<nav class="nav".*?</nav>', tess.get("/cash").text, re.DOTALL)
        assert navigation is not None
        assert re.findall(r">(\w+)</a>", navigation[0]) == ["Cash"]

    def test_a_desk_without_a_bank_has_no_such_section(self) -> None:
        client = Pages().as_("ana")

        assert "Cash" not in client.get("/traders").text
        assert client.get("/cash").status_code == 503


class TestFinding:
    def test_names_from_outside_are_written_as_they_are(self, tess: FlaskClient) -> None:
        page = tess.get("/cash?q=m").text

        assert "&lt;b&gt;Mühle, Söhne&lt;/b&gt;" in page
        assert "<b>Mühle" not in page
        assert f'href="{COMPANY}"' in page

    def test_the_only_one_found_is_opened(self, tess: FlaskClient) -> None:
        assert tess.get("/cash?q=söhne</b> 8").location == "/cash/companies/8"

    def test_as_one_types_only_the_list_comes(self, tess: FlaskClient) -> None:
        part = tess.get("/cash?q=8", headers={"X-Part": "companies"})

        assert part.status_code == 200
        assert "<html" not in part.text
        assert "/cash/companies/8" in part.text

    def test_nobody_found_says_so(self, tess: FlaskClient) -> None:
        assert "No company has “%&#39;;--”" in tess.get("/cash?q=%25';--").text


class TestCompany:
    def test_all_figures_stand_there_without_scripts(self, tess: FlaskClient) -> None:
        page = tess.get(COMPANY).text

        strip = dict(re.findall(r'<dd class="big" data-slot="k\.(\w+)">(.*?)</dd>', page))
        assert strip["balance"] == "900.10"
        assert strip["debt"] == '<span class="under">−100.00</span>'
        assert strip["credit"] == "1,000.10"
        assert strip["stated"] == "901.00"
        assert "2021-01-01" in strip["complete"]
        assert "▲ 1 window missing" in page
        assert "SEPA 2021-01-01 … 01-05" in page
        assert "<strong>Not in the sums:</strong> −3.00 SGP in 1 payment: there is no rate." in page
        assert "<strong>Rates:</strong> two currencies agree." in page
        for iban in OWN:
            assert f"<code>{iban}</code>" in page

    def test_figures_lead_to_the_payments_that_they_are_made_of(
        self, tess: FlaskClient, bank: FakeCash
    ) -> None:
        page = tess.get(f"{COMPANY}?interval=day&from=2021-01-01&until=2021-01-31&include=batch").text
        address = re.search(r'<tbody data-slot="rows">.*?href="([^"]+)"', page, re.DOTALL)
        assert address is not None
        payments = tess.get(address[1].replace("&amp;", "&")).text
        asked = bank.asked[-1]

        assert "+900.10" in payments
        assert "−1,331" in payments
        assert list(asked.include) == [cash_pb2.BATCH]
        assert (asked.from_us, asked.before_us) == (1_609_459_200_000_000, 1_612_137_600_000_000)

    def test_the_map_has_classes_and_the_table_the_words(self, tess: FlaskClient) -> None:
        page = tess.get(COMPANY).text

        assert '<a class="through" href="/cash/companies/7/payments?' in page
        assert "Germany" in page
        assert "invalid IBAN" in page
        if world().shapes:
            assert re.search(r'class="land q4" data-class="map\.DE"', page)
            assert re.search(r'class="land" data-class="map\.FR"', page)

    def test_switches_currency_and_interval_have_addresses_of_their_own(
        self, tess: FlaskClient, bank: FakeCash
    ) -> None:
        address = f"{COMPANY}?interval=week&currency=USD&include=batch-once&include=invalid-iban"
        page = tess.get(address).text
        history = next(each for each in bank.asked if isinstance(each, cash_pb2.HistoryRequest))

        assert list(history.include) == [cash_pb2.BATCH_ONCE, cash_pb2.INVALID_IBAN]
        assert (history.interval, history.currency) == (cash_pb2.WEEK, "USD")
        assert page.count(" checked") == 2
        assert re.search(r'currency=USD[^"]*"[^>]* aria-current="true">Week<', page)

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("interval=hour", "interval: expected one of day, week, month, quarter, year"),
            ("from=2021-02-02&until=2021-02-01", "from: expected a day not after until"),
            ("from=2021-02-30", "from: expected a day that exists"),
            ("until=1969-01-01", "until: outside 1970-01-01"),
            ("from=1990-01-01&interval=day", "from: over 3700 of interval day"),
            ("currency=GBP", "currency: expected one of EUR, USD"),
            ("include=dirt", "include: expected some of batch, batch-once, invalid-iban"),
            ("account=XX", "account: XX is no account of company 7"),
        ],
    )
    def test_what_cannot_be_is_refused_with_what_would_do(
        self, tess: FlaskClient, query: str, words: str
    ) -> None:
        answer = tess.get(f"{COMPANY}?{query}")

        assert answer.status_code == 400
        assert words in answer.text

    @pytest.mark.parametrize("number", ["8", "x", "-1", "9" * 20])
    def test_an_unknown_company_is_not_found(self, tess: FlaskClient, number: str) -> None:
        assert tess.get(f"/cash/companies/{number}").status_code == 404


class TestKeeping:
    def test_a_page_is_asked_for_once_until_something_changes(
        self, pages: Pages, tess: FlaskClient, bank: FakeCash
    ) -> None:
        heard: list[object] = []
        pages.cash.on_change(heard.extend)
        first = tess.get(COMPANY)
        count = len(bank.asked)
        again = tess.get(COMPANY, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, len(bank.asked)) == (304, count)

        bank.data_version = 13
        pages.cash.offer([events_pb2.CashChanged(data_version=13, company_ids=[8])])
        pages.cash.tend()
        assert (heard, len(bank.asked)) == ([], count)
        pages.cash.offer([events_pb2.CashChanged(data_version=13, company_ids=[7])])
        pages.cash.tend()
        assert heard == [(CASH, 7)]
        assert len(bank.asked) > count

    def test_the_last_figures_stay_with_their_age_while_the_owner_is_away(
        self, pages: Pages, tess: FlaskClient, bank: FakeCash
    ) -> None:
        tess.get(COMPANY)
        bank.down = True
        pages.cash.doubt()
        page = tess.get(COMPANY)

        assert page.status_code == 200
        assert "cash-service has not answered since" in page.text
        assert ">900.10<" in page.text
        assert tess.get(f"{COMPANY}?interval=year").status_code == 503
        bank.down = False
        pages.cash.tend()
        assert "has not answered" not in tess.get(COMPANY).text

    def test_what_is_kept_has_a_limit_in_bytes(
        self, served: tuple[FakeCash, CashService], pages: Pages, bank: FakeCash
    ) -> None:
        pages.cash._most_bytes = 1
        look = Look(7, "month", date(2021, 1, 1), date(2021, 1, 31))
        for currency in ("EUR", "USD", "EUR"):
            pages.cash.texts(Look(7, "month", look.first, look.last, currency), "en", lambda _: {"a": "b"})

        assert sum(isinstance(each, cash_pb2.BalanceRequest) for each in bank.asked) == 3


class TestPeriods:
    @pytest.mark.parametrize(
        ("interval", "day", "start", "later"),
        [
            ("day", date(2024, 2, 29), date(2024, 2, 29), date(2024, 3, 1)),
            ("week", date(2021, 1, 1), date(2020, 12, 28), date(2021, 1, 4)),
            ("month", date(2024, 2, 29), date(2024, 2, 1), date(2024, 3, 1)),
            ("quarter", date(2021, 12, 31), date(2021, 10, 1), date(2022, 1, 1)),
            ("year", date(2021, 7, 1), date(2021, 1, 1), date(2022, 1, 1)),
        ],
    )
    def test_a_bucket_begins_and_is_followed_by_the_next(
        self, interval: str, day: date, start: date, later: date
    ) -> None:
        assert start_of(interval, day) == start
        assert moved(interval, start, 1) == later

    def test_the_newest_are_as_many_as_are_shown_first(self) -> None:
        for interval, count in (("day", 31), ("week", 26), ("month", 12), ("quarter", 12), ("year", 10)):
            first, last = newest(interval, date(2024, 2, 29))
            assert buckets_between(interval, first, last) == count
            earlier = Look(1, interval, first, last).moved(-1)
            assert (earlier.last - first).days == -1
            assert earlier.moved(1) == Look(1, interval, first, last)

    def test_nothing_lies_beyond_the_years_that_there_are(self) -> None:
        assert moved("year", date(1975, 1, 1), -10) == date(1970, 1, 1)
        assert moved("day", date(2100, 12, 31), 5) == date(2100, 12, 31)


def test_countries_have_names_and_the_map_knows_most_of_them() -> None:
    assert (country_name("DE"), country_name("XK"), country_name("")) == ("Germany", "Kosovo", "invalid IBAN")
    codes = {shape.code for shape in world().shapes}
    if codes:
        assert {"NL", "DE", "FR", "US", "XK", "MT", "SG", "LI"} <= codes
        assert len(codes) > 190
