"""Reports through the HTTP door."""

import httpx
import pytest

from tests.integration.gateway.support import REPORT, refusal, user_of
from tests.unit.gateway.started import Started


class TestReports:
    def test_a_report_comes_as_json(self, admin: httpx.Client) -> None:
        answer = admin.get(REPORT)

        report = answer.json()
        assert '"pnl_eur":420.00' in answer.text
        assert len(report["hours"]) == 24
        assert report["hours"][0] == {
            "label": "00–01", "delivery_hour": 0, "delivery_start": "2023-02-27T23:00:00Z", "trades": 2,
            "buy_mw": 4, "sell_mw": 10.5, "buy_mwh": 4, "sell_mwh": 10.5, "pnl_eur": 420.0,
        }  # fmt: skip
        assert set(report["total"]) == {"trades", "buy_mw", "sell_mw", "buy_mwh", "sell_mwh", "pnl_eur"}
        assert (report["trader_id"], report["time_zone"]) == ("trader_1", "Europe/Berlin")

    def test_a_report_comes_as_csv(self, admin: httpx.Client) -> None:
        by_accept = admin.get(REPORT, headers={"Accept": "text/csv"})
        by_format = admin.get(f"{REPORT}&format=csv", headers={"Accept": "application/json"})

        lines = by_accept.text.splitlines()
        assert lines[0] == "Hour,Number of trades,Total BUY [MW],Total SELL [MW],PnL [EUR]"
        assert (lines[1], lines[-1], len(lines)) == ("00–01,2,4,10.5,420.00", "Total,2,4,10.5,420.00", 26)
        assert by_format.content == by_accept.content
        assert by_accept.headers["content-type"] == "text/csv; charset=utf-8"

    def test_an_unchanged_report_needs_no_body_and_a_changed_one_has_another_tag(
        self, own_gateway: Started
    ) -> None:
        with own_gateway.client() as client:
            first = client.get(REPORT)
            tag = first.headers["etag"]
            again = client.get(REPORT, headers={"If-None-Match": f'"other", W/{tag}'})
            as_csv_tag = client.get(f"{REPORT}&format=csv").headers["etag"]
            own_gateway.owners.reports.version = "v2"
            changed = client.get(REPORT, headers={"If-None-Match": tag})

        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert as_csv_tag != tag
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag

    def test_a_trader_may_leave_the_trader_out_and_nobody_else(
        self, gateway: Started, admin: httpx.Client
    ) -> None:
        name, password = user_of(admin, "trader", trader_id="trader_7")

        with gateway.client(name, password) as trader:
            own = trader.get("/v1/reports/pnl?delivery_day=2023-02-28")

        assert own.json()["trader_id"] == "trader_7"
        assert "trader_id" in refusal(admin.get("/v1/reports/pnl?delivery_day=2023-02-28"), 400)

    @pytest.mark.parametrize(
        "query",
        [
            "trader_id=a",
            "trader_id=a&delivery_day=2023-02-29",
            "trader_id=a&delivery_day=2023-02-28&format=pdf",
        ],
    )
    def test_a_parameter_that_cannot_be_is_a_bad_request(self, admin: httpx.Client, query: str) -> None:
        refusal(admin.get(f"/v1/reports/pnl?{query}"), 400)
