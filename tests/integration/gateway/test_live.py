"""The live desk through the HTTP door: performance, prices, feed, quarantine, reconciliation."""

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from gateway.api.performance import DESK_CSV_COLUMNS
from gateway.usecases import desk as desk_usecase
from report_service.api.csvs import DESK_HEADER

from tests.integration.gateway.support import refusal, user_of
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.unit.gateway.started import Started

PERFORMANCE = "/v1/reports/performance?trader_id=trader_1&delivery_day=2023-02-28"
DESK = "/v1/reports/desk?delivery_day=2023-02-28"
PRICES = "/v1/reference-prices?delivery_day=2023-02-28"
HISTORY = "/v1/reference-prices/2023-02-28T13:00:00Z/history"
FIGURES = {
    "trades": 2, "buy_mw": 4, "sell_mw": 10.5, "buy_mwh": 4, "sell_mwh": 10.5, "pnl_eur": 420.0,
    "average_eur_per_mwh": 55.7, "average_buy_eur_per_mwh": None, "average_sell_eur_per_mwh": 60.0,
    "reference_eur_per_mwh": 50.0, "reference_last_update": "2023-02-28T11:00:00Z",
    "reference_fetched": "2023-02-28T11:00:01.5Z", "delta_eur_per_mwh": 5.7, "light": "green",
    "grey_reason": None, "edge_eur": -0.5, "open_mwh": -6.5,
}  # fmt: skip
QUARANTINED = {
    "id": 5, "received": "2023-02-28T11:00:00Z", "origin": "ws://exchange", "reason": "no JSON",
    "state": "open", "decided_by": None, "decided": None, "trade_id": None,
}  # fmt: skip
EVERYTHING = {
    "performance": ("GET", PERFORMANCE), "desk": ("GET", DESK), "prices": ("GET", PRICES),
    "history": ("GET", HISTORY), "feed": ("GET", "/v1/feed"), "quarantine": ("GET", "/v1/quarantine"),
    "one": ("GET", "/v1/quarantine/1"), "replay": ("POST", "/v1/quarantine/1/replay"),
    "drop": ("POST", "/v1/quarantine/1/drop"), "day": ("GET", "/v1/reconciliations/2023-02-28"),
}  # fmt: skip


@pytest.fixture
def own_admin(own_gateway: Started) -> Iterator[httpx.Client]:
    with own_gateway.client() as client:
        yield client


def ask(client: httpx.Client, what: str) -> httpx.Response:
    method, path = EVERYTHING[what]
    return client.request(method, path, json={"reason": "a test"} if what == "drop" else None)


class TestWhoMay:
    @pytest.mark.parametrize(
        ("role", "allowed"),
        [
            ("trader", {"prices", "history"}),
            ("desk", set(EVERYTHING)),
            ("service", {"performance", "prices", "history", "feed", "day"}),
            (None, set()),
        ],
    )
    def test_a_role_sees_what_is_its_own_and_nothing_else(
        self, own_gateway: Started, own_admin: httpx.Client, role: str | None, allowed: set[str]
    ) -> None:
        roles = [role] if role else []
        trader_id = "trader_7" if role == "trader" else None
        with own_gateway.client(*user_of(own_admin, *roles, trader_id=trader_id)) as client:
            answers = {what: ask(client, what) for what in EVERYTHING}

        assert {what for what, answer in answers.items() if answer.status_code == 200} == allowed
        for what in set(EVERYTHING) - allowed:
            refusal(answers[what], 403)

    def test_nobody_sees_anything(self, nobody: httpx.Client) -> None:
        for what in EVERYTHING:
            refusal(ask(nobody, what), 401)


class TestPerformance:
    def test_it_comes_as_json_with_exact_numbers_and_null_for_what_is_undefined(
        self, admin: httpx.Client
    ) -> None:
        answer = admin.get(PERFORMANCE)

        report = answer.json()
        assert '"edge_eur":-0.50,' in answer.text
        assert '"average_eur_per_mwh":55.70,' in answer.text
        assert (report["trader_id"], report["delivery_day"]) == ("trader_1", "2023-02-28")
        assert (report["area"], report["time_zone"]) == ("DE", "Europe/Berlin")
        assert report["total"] == FIGURES
        assert len(report["hours"]) == 24
        first, second = report["hours"][:2]
        start = {"label": "00–01", "delivery_hour": 0, "delivery_start": "2023-02-27T23:00:00Z"}
        assert first == {**start, **FIGURES}
        undefined = {name for name, value in second.items() if value is None}
        assert undefined == {name for name in FIGURES if name.endswith("per_mwh")} | {
            "edge_eur", "reference_last_update", "reference_fetched"
        }  # fmt: skip
        assert (second["light"], second["grey_reason"], second["pnl_eur"]) == ("grey", "no trades", 0)

    def test_it_comes_as_csv(self, admin: httpx.Client) -> None:
        by_accept = admin.get(PERFORMANCE, headers={"Accept": "text/csv"})
        by_format = admin.get(f"{PERFORMANCE}&format=csv")

        lines = by_accept.text.splitlines()
        assert lines[0].startswith("Hour,Number of trades,Total BUY [MW],Total SELL [MW],")
        assert lines[1] == (
            "00–01,2,4,10.5,4,10.5,420.00,55.70,,60.00,50.00,2023-02-28T11:00:00Z,5.70,green,,-0.50,-6.5"
        )
        assert lines[2] == "01–02,0,0,0,0,0,0,,,,,,,grey,no trades,,0"
        assert (lines[-1], len(lines)) == (lines[1].replace("00–01", "Total"), 26)
        assert by_format.content == by_accept.content
        assert by_accept.headers["content-type"] == "text/csv; charset=utf-8"

    def test_an_unchanged_one_needs_no_body_and_a_changed_one_has_another_tag(
        self, own_gateway: Started, own_admin: httpx.Client
    ) -> None:
        for path in (PERFORMANCE, DESK):
            own_gateway.owners.reports.version = "v1"
            first = own_admin.get(path)
            tag = first.headers["etag"]
            again = own_admin.get(path, headers={"If-None-Match": tag})
            whole = own_admin.get(path)
            own_gateway.owners.reports.version = "v2"
            changed = own_admin.get(path, headers={"If-None-Match": tag})

            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert whole.content == first.content
            assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)

    def test_many_who_ask_at_once_share_calls(self, own_gateway: Started, own_admin: httpx.Client) -> None:
        own_admin.get(PERFORMANCE)
        asked = own_gateway.owners.reports.asked
        asked.clear()
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: own_admin.get(PERFORMANCE).content, range(160)))

        assert len(set(answers)) == 1
        assert sum(asked) < 160
        assert max(asked) == 1  # the same question is put once a call

    def test_who_first_looks_at_a_day_waits_for_its_prices_in_a_call_of_their_own(
        self, own_gateway: Started, own_admin: httpx.Client
    ) -> None:
        reports = own_gateway.owners.reports
        reports.version, reports.loading = "loading", True
        reports.asked.clear()

        total = own_admin.get(PERFORMANCE).json()["total"]

        reports.loading = False
        assert total["reference_eur_per_mwh"] is not None
        assert reports.asked == [1, 1]

    def test_a_trader_sees_only_the_own_one_and_may_leave_the_name_out(
        self, gateway: Started, admin: httpx.Client
    ) -> None:
        with gateway.client(*user_of(admin, "trader", trader_id="trader_7")) as trader:
            own = trader.get("/v1/reports/performance?delivery_day=2023-02-28")
            refusal(trader.get(PERFORMANCE), 403)

        assert own.json()["trader_id"] == "trader_7"
        assert "trader_id" in refusal(admin.get("/v1/reports/performance?delivery_day=2023-02-28"), 400)


class TestDesk:
    def test_it_has_a_row_a_trader(self, admin: httpx.Client) -> None:
        report = admin.get(DESK).json()

        assert [row["trader_id"] for row in report["rows"]] == ["trader_1", "trader_2"]
        assert report["rows"][0] == {
            "trader_id": "trader_1", **FIGURES, "last_trade": "2023-02-28T11:00:00Z",
            "cumulative_pnl_eur": [420.0, -0.5],
        }  # fmt: skip
        assert report["total"] == {**FIGURES, "last_trade": None}
        assert (report["delivery_day"], report["area"]) == ("2023-02-28", "DE")

    def test_a_desk_comes_as_csv_too(self, admin: httpx.Client) -> None:
        for answer in (admin.get(f"{DESK}&format=csv"), admin.get(DESK, headers={"Accept": "text/csv"})):
            header, *rows = csv.reader(io.StringIO(answer.text))
            assert answer.headers["content-type"].startswith("text/csv")
            assert tuple(header) == DESK_CSV_COLUMNS == DESK_HEADER
            assert [row[0] for row in rows] == ["trader_1", "trader_2", "Total"]
            assert dict(zip(header, rows[0], strict=True)) == {
                "Trader": "trader_1", "Number of trades": "2", "Total BUY [MW]": "4",
                "Total SELL [MW]": "10.5", "Total BUY [MWh]": "4", "Total SELL [MWh]": "10.5",
                "PnL [EUR]": "420.00", "Average price [EUR/MWh]": "55.70", "Average BUY price [EUR/MWh]": "",
                "Average SELL price [EUR/MWh]": "60.00", "Reference price [EUR/MWh]": "50.00",
                "Reference last update": "2023-02-28T11:00:00Z", "Delta [EUR/MWh]": "5.70",
                "Light": "green", "Grey because": "", "Edge [EUR]": "-0.50", "Open position [MWh]": "-6.5",
                "Last trade": "2023-02-28T11:00:00Z",
            }  # fmt: skip
        tag = admin.get(f"{DESK}&format=csv").headers["etag"]
        assert tag != admin.get(DESK).headers["etag"]
        assert admin.get(f"{DESK}&format=csv", headers={"If-None-Match": tag}).status_code == 304

    def test_a_large_desk_is_served_too(self, own_gateway: Started, own_admin: httpx.Client) -> None:
        names = [f"trader_{number}" for number in range(desk_usecase.MOST_ROWS_AT_ONCE + 1)]
        own_gateway.owners.reports.desk_traders = names

        assert [row["trader_id"] for row in own_admin.get(DESK).json()["rows"]] == names


class TestPrices:
    def test_a_day_has_the_prices_that_there_are(self, admin: httpx.Client) -> None:
        answer = admin.get(PRICES)
        told = answer.json()

        assert told["prices"][0].pop("age_s") > 86_400 * 365
        assert told == {
            "delivery_day": "2023-02-28", "area": "DE",
            "prices": [{
                "delivery_start": "2023-02-28T13:00:00Z", "delivery_hour": 14, "label": "14–15",
                "value_eur_per_mwh": 20.5, "last_update": "2023-02-28T11:00:00Z",
                "fetched": "2023-02-28T11:00:01.5Z", "cycle_start": "2023-02-28T11:00:00Z",
            }],
        }  # fmt: skip
        assert '"value_eur_per_mwh":20.50,' in answer.text
        assert admin.get("/v1/reference-prices?delivery_day=2023-03-01").json()["prices"] == []

    def test_a_day_is_not_sent_again_until_a_price_changes(
        self, own_gateway: Started, own_admin: httpx.Client
    ) -> None:
        tag = own_admin.get(PRICES).headers["etag"]
        again = own_admin.get(PRICES, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)

        own_gateway.owners.prices.value = "20.51"
        changed = own_admin.get(PRICES, headers={"If-None-Match": tag})
        assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)

    def test_hours_to_come_that_are_asked_for_are_told_to_the_owner_once_in_a_while(
        self, own_gateway: Started, own_admin: httpx.Client
    ) -> None:
        watched = own_gateway.owners.prices.watched
        tomorrow = datetime.now(ZoneInfo("Europe/Berlin")).date() + timedelta(days=1)
        for day in ("2023-02-28", tomorrow, tomorrow, tomorrow + timedelta(days=9)):
            assert own_admin.get(f"/v1/reference-prices?delivery_day={day}").status_code == 200

        wait_until(lambda: watched, timeout_s=10, what="the hours are told")
        assert own_admin.get("/v1/reference-prices?delivery_day=2023-03-01").status_code == 200
        assert [len(each) in {23, 24, 25} for each in watched] == [True]

    def test_the_doubled_hour_has_two(self, admin: httpx.Client) -> None:
        prices = admin.get("/v1/reference-prices?delivery_day=2023-10-29").json()["prices"]

        assert [price["label"] for price in prices] == ["02A–03", "02B–03"]

    @pytest.mark.parametrize("start", ["2023-02-28T13:00:00Z", "2023-02-28T14:00:00%2B01:00"])
    def test_an_hour_has_a_history(self, admin: httpx.Client, start: str) -> None:
        answer = admin.get(f"/v1/reference-prices/{start}/history")

        assert answer.json()["delivery_start"] == "2023-02-28T13:00:00Z"
        assert [price["value_eur_per_mwh"] for price in answer.json()["prices"]] == [100, -0.5]
        assert '"value_eur_per_mwh":100,' in answer.text


class TestFeed:
    def test_it_tells_of_listeners_counts_and_the_budget_that_is_left(self, admin: httpx.Client) -> None:
        assert admin.get("/v1/feed").json() == {
            "listeners": [
                {"node": 0, "url": "ws://exchange", "connected": True, "since": "2023-02-28T11:00:00Z",
                 "last_frame": "2023-02-28T11:00:00Z", "frames": 7, "connects": 2, "next_attempt": None,
                 "trouble": None},
                {"node": 1, "url": "ws://other", "connected": False, "since": "2023-02-28T11:00:00Z",
                 "last_frame": None, "frames": 0, "connects": 0, "next_attempt": "2023-02-28T11:00:00.25Z",
                 "trouble": "refused"},
            ],
            "frames": 7, "spool_depth": 1, "outbox_depth": 2, "quarantined": 5,
            "last_trade": "2023-02-28T11:00:00Z", "lag_us": 1500,
            "prices": {
                "leader": True, "minute_budget_left": 12, "hour_budget_left": 640,
                "cycle_start": "2023-02-28T11:00:00Z", "periods_tradable": 37, "periods_fresh": 36,
                "last_success": "2023-02-28T11:00:00Z", "trouble": None, "trouble_since": None,
            },
            "prices_missing": None,
            "files_waiting": [{"name": "x.csv", "since": "2023-02-28T11:00:00Z", "waits_for": "its turn"}],
        }  # fmt: skip

    def test_it_is_told_without_the_poller_too(self, own_gateway: Started, own_admin: httpx.Client) -> None:
        own_gateway.owners.prices.down = True

        body = own_admin.get("/v1/feed").json()

        assert (body["frames"], body["prices"]) == (7, None)
        assert body["prices_missing"] == "the store cannot read now"

    def test_a_day_is_tied_out_or_not_yet(self, admin: httpx.Client) -> None:
        done = admin.get("/v1/reconciliations/2023-02-28?area=DE").json()
        not_yet = admin.get("/v1/reconciliations/2023-03-01").json()
        said = {
            "quantity": 12.34, "direction": "sell", "delivery_day": "2023-02-28", "delivery_hour": 14,
            "trader_id": "jürgen", "execution_time": "2023-02-28T11:00:00Z",
            "trades": "/v1/trades?trader_id=j%C3%BCrgen&delivery_day=2023-02-28",
        }  # fmt: skip

        assert done == {
            "day": "2023-02-28", "reconciled": True, "reconciled_at": "2023-02-28T11:00:00Z",
            "file_name": "epex_trades_20230228.csv", "in_both": 5, "recovered": 1, "feed_only": 0,
            "differing": 1, "file_only": 2, "corrected": 3, "gap": True,
            "complete_to": "2023-02-28T11:00:00Z",
            "differences": [
                {"trade_id": "t_1", "kind": "differs", "detail": "price 1 here, 2 there",
                 "file": {**said, "price": 2}, "feed": {**said, "price": 1}, "booked": None},
            ],
            "unconfirmed": 0, "unconfirmed_trades": [],
            "nodes_away": [],
        }  # fmt: skip
        assert not not_yet["reconciled"]
        assert [not_yet[name] for name in ("reconciled_at", "file_name", "complete_to")] == [None] * 3


class TestQuarantine:
    def test_pages_follow_each_other_to_the_end(self, own_admin: httpx.Client) -> None:
        pages = [own_admin.get("/v1/quarantine?state=open&limit=2")]
        while following := pages[-1].links.get("next"):
            pages.append(own_admin.get(following["url"]))

        assert [[item["id"] for item in page.json()["items"]] for page in pages] == [[5, 4], [3, 2], [1]]
        assert pages[0].json()["items"][0] == QUARANTINED
        assert [(page.json()["open"], page.json()["nodes_away"]) for page in pages] == [(5, [])] * 3

    def test_a_node_that_does_not_answer_is_told(self, own_gateway: Started, own_admin: httpx.Client) -> None:
        own_gateway.owners.feed.away = [1]

        assert own_admin.get("/v1/quarantine").json()["nodes_away"] == [1]
        assert own_admin.get("/v1/reconciliations/2023-02-28").json()["nodes_away"] == [1]

    def test_one_is_shown_with_its_frame_whatever_that_is(self, own_admin: httpx.Client) -> None:
        assert own_admin.get("/v1/quarantine/5").json() == {**QUARANTINED, "frame": "{"}
        odd = own_admin.get("/v1/quarantine/2").json()
        assert (odd["frame_base64"], "frame" in odd) == ("/wA=", False)

    def test_it_is_replayed_and_dropped_in_the_name_of_who_asks(
        self, own_gateway: Started, own_admin: httpx.Client
    ) -> None:
        name, password = user_of(own_admin, "desk")
        with own_gateway.client(name, password) as desk:
            replayed = desk.post("/v1/quarantine/5/replay").json()
            dropped = desk.post("/v1/quarantine/4/drop", json={"reason": "a test"}).json()
            again = desk.post("/v1/quarantine/4/replay")

        assert (replayed["state"], replayed["decided_by"]) == ("replayed", name)
        assert (dropped["state"], dropped["decided_by"]) == ("dropped", name)
        assert dropped["decided"] == "2023-02-28T11:00:00Z"
        assert dropped["reason"].endswith("(dropped: a test)")
        assert "was dropped by" in refusal(again, 409)
        states = {
            state: [item["id"] for item in own_admin.get(f"/v1/quarantine?state={state}").json()["items"]]
            for state in ("open", "replayed", "dropped")
        }
        assert states == {"open": [3, 2, 1], "replayed": [5], "dropped": [4]}

    def test_one_that_is_not_there_is_not_found(self, admin: httpx.Client) -> None:
        refusal(admin.get("/v1/quarantine/99"), 404)
        refusal(admin.post("/v1/quarantine/99/replay"), 404)
        refusal(admin.post("/v1/quarantine/99/drop", json={"reason": "x"}), 404)
        refusal(admin.get("/v1/quarantine/rubbish"), 404)

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"reason":""}', b'{"reason":1}', b'{"reason":"a","by":"me"}', b"[", b"{"]
    )
    def test_dropping_needs_a_reason_and_nothing_else(self, admin: httpx.Client, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}

        refusal(admin.post("/v1/quarantine/1/drop", content=body, headers=headers), 400)
        refusal(admin.post("/v1/quarantine/1/drop", content=body), 415)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/reports/performance?trader_id=a", f"{PERFORMANCE}&format=pdf", f"{PERFORMANCE}&area=GB",
        "/v1/reports/performance?trader_id=a&delivery_day=2023-02-29", f"{DESK}&trader_id=a",
        f"{DESK}&area=GB", "/v1/reports/desk", "/v1/reference-prices",
        "/v1/reference-prices?delivery_day=today",
        f"{PRICES}&area=XX", "/v1/reference-prices/2023-02-28/history",
        "/v1/reference-prices/2023-02-28T13:00:00/history",
        "/v1/reference-prices/2023-02-28T13:30:00Z/history",
        "/v1/reference-prices/2023-02-30T13:00:00Z/history", "/v1/feed?more=1", "/v1/quarantine?state=gone",
        "/v1/quarantine?limit=0", "/v1/quarantine?limit=1001", "/v1/quarantine?cursor=x",
        "/v1/quarantine?cursor=7", f"/v1/quarantine?cursor=7-{'9' * 17}",
        "/v1/quarantine/0", "/v1/reconciliations/2023-02-29", "/v1/reconciliations/2023-02-28?area=AT",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_is_a_bad_request(admin: httpx.Client, path: str) -> None:
    refusal(admin.get(path), 400)


class TestWithoutAnOwner:
    def test_what_is_not_running_says_so_and_the_rest_is_ready(self, tmp_path: Path) -> None:
        with (
            Started(tmp_path, pricing_target=None, ingest_target=None) as started,
            started.client() as client,
        ):
            for what in ("prices", "history"):
                assert refusal(ask(client, what), 503) == "pricing-service is not running here"
            for what in ("feed", "quarantine", "one", "replay", "drop", "day"):
                assert refusal(ask(client, what), 503) == "ingest-service is not running here"
            ready = client.get("/readyz")
            assert ask(client, "performance").status_code == 200

        services = ("trade-service", "report-service", "meter-service", "cash-service")
        assert ready.json() == {"status": "ok", "services": dict.fromkeys(services, "ok")}

    def test_what_is_not_reachable_says_so_in_time(self, tmp_path: Path) -> None:
        nowhere = f"127.0.0.1:{free_port()}"
        with (
            Started(tmp_path, pricing_target=nowhere, ingest_target=nowhere) as started,
            started.client() as client,
        ):
            for what in ("prices", "quarantine"):
                answer = ask(client, what)
                assert refusal(answer, 503) == "a service is not reachable; try again"
                assert answer.headers["retry-after"]

    def test_an_owner_that_cannot_now_is_passed_on(
        self, own_gateway: Started, own_admin: httpx.Client
    ) -> None:
        own_gateway.owners.prices.down = own_gateway.owners.feed.down = True

        assert refusal(ask(own_admin, "prices"), 503) == "the store cannot read now"
        assert refusal(ask(own_admin, "feed"), 503) == "the store cannot read now"
