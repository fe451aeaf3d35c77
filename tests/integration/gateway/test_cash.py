"""Company cash through the HTTP door: who may, what comes, and what is refused."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from wattbook.clock import from_epoch_us
from wattbook_proto import cash_pb2

from tests.integration.gateway.support import refusal, user_of
from tests.unit.gateway.fake_cash import DAY_US, JAN_US, NAME, OWN
from tests.unit.gateway.started import Started

COMPANY = "/v1/companies/7"
READ = {
    "companies": "/v1/companies?q=m", "company": COMPANY, "balance": f"{COMPANY}/balance",
    "history": f"{COMPANY}/history", "countries": f"{COMPANY}/countries",
    "counterparties": f"{COMPANY}/counterparties", "transactions": f"{COMPANY}/transactions",
    "set_aside": f"{COMPANY}/set-aside", "quality": f"{COMPANY}/quality", "all_aside": "/v1/cash/set-aside",
    "all_quality": "/v1/cash/quality", "status": "/v1/cash/status", "windows": "/v1/cash/windows",
}  # fmt: skip


@pytest.fixture
def own_admin(own_gateway: Started) -> Iterator[httpx.Client]:
    with own_gateway.client() as client:
        yield client


class TestWhoMay:
    @pytest.mark.parametrize(
        ("role", "status"),
        [("treasurer", 200), ("trader", 403), ("support", 403)],
    )
    def test_cash_is_for_treasurers_and_the_desk(
        self, gateway: Started, admin: httpx.Client, role: str, status: int
    ) -> None:
        trader_id = "trader_7" if role == "trader" else None
        with gateway.client(*user_of(admin, role, trader_id=trader_id)) as client:
            answers = {what: client.get(path).status_code for what, path in READ.items()}
            refusal(client.post("/v1/cash/reclean"), 403)

        assert answers == dict.fromkeys(READ, status)

    def test_nobody_sees_anything(self, nobody: httpx.Client) -> None:
        for path in READ.values():
            refusal(nobody.get(path), 401)


class TestFigures:
    def test_every_answer_says_what_it_stands_on(self, admin: httpx.Client) -> None:
        for path in READ.values():
            body = admin.get(path).json()
            assert body["data"] == {
                "version": 12, "complete_to": "2021-01-01T00:00:00Z", "windows_missing": 1, "loading": False,
                "missing": [{"kind": "sepa", "from": "2021-01-01T00:00:00Z", "to": "2021-01-06T00:00:00Z"}],
            }, path  # fmt: skip
            assert body["rates"]["version"] == 3
            assert (body["rates"]["reading"], body["rates"]["warning"]) == ("quoted", "two currencies agree")

    def test_a_balance_is_exact_text_with_its_currency(self, admin: httpx.Client) -> None:
        body = admin.get(f"{COMPANY}/balance?at=2021-03-31&currency=USD").json()

        assert (body["balance"], body["debt"], body["credit"]) == ("900.10", "-100.00", "1000.10")
        assert (body["currency"], body["at"]) == ("USD", "2021-03-31T23:59:59.999999Z")
        assert [each["balance"] for each in body["accounts"]] == ["1000.10", "-100.00"]
        assert body["accounts"][0]["by_currency"] == [{"currency": "JPY", "amount": "133180"}]
        assert body["left_out"] == [{"currency": "SGP", "amount": "-3.00", "payments": 1}]
        assert body["company"]["stated_balance"] == {"currency": "EUR", "amount": "901.00"}
        assert body["future_payments"] == 2

    def test_the_owner_is_asked_for_what_was_asked(
        self, own_gateway: Started, own_admin: httpx.Client
    ) -> None:
        query = "from=2021-01-01&to=2021-01-08T01:00:00%2B01:00&interval=week&include=batch-once,invalid-iban"
        body = own_admin.get(f"{COMPANY}/history?{query}&account={OWN[1]}").json()
        (asked,) = own_gateway.owners.cash.asked

        assert (asked.from_us, asked.before_us) == (JAN_US, JAN_US + 7 * DAY_US)
        assert (asked.interval, asked.iban) == (cash_pb2.WEEK, OWN[1])
        assert list(asked.include) == [cash_pb2.BATCH_ONCE, cash_pb2.INVALID_IBAN]
        assert body["interval"] == "week"
        assert body["buckets"] == [{
            "label": "2021-01", "from": "2021-01-01T00:00:00Z", "to": "2021-01-08T00:00:00Z",
            "opening": "0.00", "in": "1000.10", "out": "100.00", "internal": "5.00", "closing": "900.10",
            "rounding": "0.00", "lowest": "-20.00", "lowest_day": "2021-01-03", "payments": 5,
        }]  # fmt: skip

    def test_a_history_is_of_the_last_year_unless_told(
        self, own_gateway: Started, own_admin: httpx.Client
    ) -> None:
        begins = {"day": "2022-03-01", "week": "2022-02-28", "month": "2022-03-01", "quarter": "2022-01-01"}
        for interval, first in begins.items():
            own_admin.get(f"{COMPANY}/history?interval={interval}&to=2023-03-01")
            asked = own_gateway.owners.cash.asked[-1]
            assert from_epoch_us(asked.from_us).date().isoformat() == first
        own_admin.get(f"{COMPANY}/history?interval=all")
        everything = own_gateway.owners.cash.asked[-1]

        assert everything.from_us == 0
        assert everything.before_us > asked.before_us

    def test_countries_and_counterparties_come_with_their_sums(self, admin: httpx.Client) -> None:
        countries = admin.get(READ["countries"]).json()
        others = admin.get(READ["counterparties"]).json()

        assert [each["country"] for each in countries["countries"]] == ["DE", None]
        assert countries["total"] == {"in": "1000.10", "out": "100.00", "payments_in": 4, "payments_out": 1}
        assert [(each["company_id"], each["company"], each["bank"]) for each in others["counterparties"]] == [
            (None, None, "Bänk"), (8, NAME, "Bänk")
        ]  # fmt: skip

    def test_quality_and_windows_say_what_is_unusual(self, admin: httpx.Client) -> None:
        quality, all_quality = admin.get(READ["quality"]).json(), admin.get(READ["all_quality"]).json()
        (window,) = admin.get("/v1/cash/windows?kind=swift&state=complete").json()["windows"]
        (source,) = admin.get(READ["status"]).json()["sources"]

        assert quality["kinds"][0] == {
            "kind": "batch", "payments": 4, "in": "10.00", "out": "0.00", "set_aside": True,
            "balance_without": "900.10", "balance_with": "910.10",
        }  # fmt: skip
        assert (quality["balance_with_all"], all_quality["balance"], all_quality["company"]) == (
            "910.10", None, None
        )  # fmt: skip
        assert (window["kind"], window["number"], window["version"]) == ("swift", 3725, 2)
        assert (source["trouble"], source["failed_tries"]) == ("half a body", {"cut off": 2})
        (row,) = admin.get(READ["set_aside"]).json()["rows"]
        assert (row["reasons"], row["payer"], row["text"]) == (["invalid_iban", "batch"], "ZZ1", None)


class TestTags:
    def test_what_has_not_changed_needs_no_body(self, own_gateway: Started, own_admin: httpx.Client) -> None:
        cash = own_gateway.owners.cash
        for path in READ.values():
            tag = own_admin.get(path).headers["etag"]
            assert tag.startswith('W/"12.3.')
            cash.confirmed_us += 60_000_000  # the bank gave the same rates again
            again = own_admin.get(path, headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b""), path
            cash.data_version = 13
            changed = own_admin.get(path, headers={"If-None-Match": tag})
            cash.data_version = 12
            assert (changed.status_code, changed.headers["etag"] != tag) == (200, True), path


class TestTransactions:
    def test_pages_follow_each_other_to_the_end(self, admin: httpx.Client) -> None:
        pages = [admin.get(f"{COMPANY}/transactions?limit=2&include=batch,invalid-iban&kind=swift")]
        while following := pages[-1].links.get("next"):
            pages.append(admin.get(following["url"]))

        found = [each for page in pages for each in page.json()["transactions"]]
        assert [len(page.json()["transactions"]) for page in pages] == [2, 2, 1]
        assert [each["id"] for each in found] == [f"=p,{number}" for number in range(5)]
        assert [each["converted"] for each in found] == ["-10.00", "10.00", "10.00", "10.00", None]
        assert (found[0]["amount"], found[0]["currency"], found[0]["direction"]) == ("-1331", "JPY", "out")
        assert pages[0].json()["sums"]["net"] == "900.10"

    def test_all_of_them_come_as_a_file_without_formulas(self, admin: httpx.Client) -> None:
        answer = admin.get(f"{COMPANY}/transactions", headers={"Accept": "text/csv"})
        header, *rows = csv.reader(io.StringIO(answer.text))

        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert header == [
            "Time", "Id", "Kind", "Account", "Direction", "Counterparty", "Country", "Bank", "Amount",
            "Currency", "EUR", "Flags",
        ]  # fmt: skip
        assert len(rows) == 5
        assert rows[0] == [
            "2021-01-01T00:00:00Z", "'=p,0", "swift", OWN[0], "out", "FR76", "FR", "Bänk", "-1331", "JPY",
            "-10.00", "rounded",
        ]  # fmt: skip


class TestReclean:
    def test_an_admin_sees_how_far_it_is_and_what_differs(self, admin: httpx.Client) -> None:
        tried = [json.loads(line) for line in admin.post("/v1/cash/reclean").text.splitlines()]
        kept = [json.loads(line) for line in admin.post("/v1/cash/reclean?keep=true").text.splitlines()]

        assert tried[0] == {"windows_done": 1, "windows_total": 2}
        assert (tried[-1]["kept"], kept[-1]["kept"]) == (False, True)
        assert tried[-1]["differences"][0]["balance_after"] == "901.00"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{COMPANY}/history?from=2021-02-01&to=2021-02-01", "from: expected a time before to"),
        (f"{COMPANY}/history?from=2021-02-30", "from: expected a date that exists"),
        (f"{COMPANY}/history?from=2021-02-01T10:00:00", "from: expected a date that exists"),
        (f"{COMPANY}/history?to=1969-12-31", "to: outside 1970-01-01"),
        (f"{COMPANY}/transactions?to=2101-01-01", "to: outside 1970-01-01"),
        (
            f"{COMPANY}/history?interval=hour",
            "interval: expected one of all, day, month",
        ),
        (f"{COMPANY}/balance?currency=GBP", "currency: expected one of EUR, USD"),
        (f"{COMPANY}/balance?currency=eur", "currency: expected one of EUR, USD"),
        (f"{COMPANY}/balance?include=dirt", "include: expected some of batch, batch-once"),
        (
            f"{COMPANY}/balance?include=batch,batch",
            "include: expected some of batch, batch-once",
        ),
        (f"{COMPANY}/balance?include=batch,batch-once", "include: expected batch or batch-once"),
        (f"{COMPANY}/balance?include=", "include: expected some of"),
        (f"{COMPANY}/balance?at=now", "at: expected 10 to 40 characters"),
        (f"{COMPANY}/transactions?limit=0", "limit: expected a whole number from 1 to 1000"),
        (f"{COMPANY}/transactions?limit=1001", "limit: expected a whole number from 1 to 1000"),
        (f"{COMPANY}/transactions?cursor=old", "cursor: follow the Link header unchanged"),
        (f"{COMPANY}/transactions?country=Germany", "country: not in the form"),
        (f"{COMPANY}/transactions?min=1e3", "min: not in the form"),
        (f"{COMPANY}/history?account=FR76", "account: FR76 is no account of company 7"),
        (f"{COMPANY}/balance?colour=red", "colour: unknown parameter"),
        (f"/v1/companies?q={'a' * 201}", "q: expected 0 to 200 characters"),
        ("/v1/cash/windows?state=gone", "state: expected one of"),
        ("/v1/cash/status?x=1", "x: unknown parameter"),
    ],
)
def test_what_cannot_be_is_refused_by_name_with_what_would_do(
    admin: httpx.Client, path: str, words: str
) -> None:
    assert refusal(admin.get(path), 400).startswith(words)


@pytest.mark.parametrize("what", ["", "/balance", "/history", "/transactions", "/quality"])
def test_an_unknown_company_is_not_found_by_its_id(admin: httpx.Client, what: str) -> None:
    assert refusal(admin.get(f"/v1/companies/4711{what}"), 404) == "there is no company 4711"


@pytest.mark.parametrize("text", ["%", "'; --", "😀", "שלום", "Mühle", "\\", "*" * 200])
def test_any_search_is_passed_on_as_it_is(own_gateway: Started, own_admin: httpx.Client, text: str) -> None:
    answer = own_admin.get("/v1/companies", params={"q": text})

    assert answer.status_code == 200
    assert own_gateway.owners.cash.asked[-1].query == text


class TestWithoutTheOwner:
    def test_what_is_not_running_says_so(self, tmp_path: Path) -> None:
        with Started(tmp_path, cash_target=None) as started, started.client() as client:
            for path in READ.values():
                assert refusal(client.get(path), 503) == "cash-service is not running here"
            assert refusal(client.post("/v1/cash/reclean"), 503) == "cash-service is not running here"
            assert "cash-service" not in client.get("/readyz").json()["services"]

    def test_a_store_that_is_away_is_told(self, own_gateway: Started, own_admin: httpx.Client) -> None:
        own_gateway.owners.cash.down = True

        for path in READ.values():
            assert refusal(own_admin.get(path), 503) == "the store cannot read now"
