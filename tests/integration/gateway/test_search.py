"""Trades found through the HTTP door."""

import httpx
import pytest

from tests.integration.gateway.support import refusal
from tests.support.trades import as_ndjson, trade, unique
from tests.unit.gateway.started import Started


@pytest.fixture(scope="module")
def trader_id(admin: httpx.Client) -> str:
    """Somebody with 2,500 trades, two of them special."""
    trader_id = unique("trader")
    sent = [trade(id=f"{trader_id}_{number:04d}", trader_id=trader_id) for number in range(2500)]
    sent[1] |= {"quantity": 12.3, "area": "AT"}
    sent[2] |= {
        "delivery_day": "2023-10-29", "delivery_hour": 2, "delivery_start": "2023-10-29T01:00:00Z",
        "execution_time": "2023-10-28T11:12:35.25+02:00", "direction": "buy", "price": -7,
    }  # fmt: skip
    # One after another: the parts of one large batch have no promised order.
    for part in (sent[:1250], sent[1250:]):
        answer = admin.post(
            "/v1/trades/batch", content=as_ndjson(part), headers={"Content-Type": "application/x-ndjson"}
        )
        assert answer.json()["added"] == 1250
    return trader_id


class TestSearch:
    def test_trades_are_served_as_the_contract_writes_them(self, admin: httpx.Client, trader_id: str) -> None:
        text = admin.get("/v1/trades", params={"trader_id": trader_id, "limit": 3}).text

        assert text.split(",\n") == [
            f'[{{"id":"{trader_id}_0000","price":12000,"quantity":12,"direction":"sell",'
            f'"delivery_day":"2023-02-28","delivery_hour":14,"trader_id":"{trader_id}",'
            '"execution_time":"2023-02-28T11:12:35Z"}',
            f'{{"id":"{trader_id}_0001","price":12000,"quantity":12.3,"direction":"sell",'
            f'"delivery_day":"2023-02-28","delivery_hour":14,"trader_id":"{trader_id}",'
            '"execution_time":"2023-02-28T11:12:35Z","area":"AT"}',
            f'{{"id":"{trader_id}_0002","price":-7,"quantity":12,"direction":"buy",'
            f'"delivery_day":"2023-10-29","delivery_hour":2,"trader_id":"{trader_id}",'
            '"execution_time":"2023-10-28T09:12:35.25Z","delivery_start":"2023-10-29T01:00:00Z"}]',
        ]

    def test_without_a_limit_everything_comes(self, admin: httpx.Client, trader_id: str) -> None:
        found = admin.get("/v1/trades", params={"trader_id": trader_id}).json()

        assert [each["id"] for each in found] == [f"{trader_id}_{number:04d}" for number in range(2500)]

    @pytest.mark.parametrize("limit", [1000, 999, 2499, 2500, 10_000])
    def test_pages_follow_each_other_without_a_gap(
        self, admin: httpx.Client, trader_id: str, limit: int
    ) -> None:
        answer = admin.get("/v1/trades", params={"trader_id": trader_id, "limit": limit})
        found, pages = answer.json(), 1
        while "next" in answer.links:
            answer = admin.get(answer.links["next"]["url"])
            found, pages = found + answer.json(), pages + 1

        assert [each["id"] for each in found] == [f"{trader_id}_{number:04d}" for number in range(2500)]
        assert pages == -(-2500 // limit)

    def test_a_cursor_of_other_filters_or_none_is_refused(self, admin: httpx.Client, trader_id: str) -> None:
        link = admin.get("/v1/trades", params={"trader_id": trader_id, "limit": 1}).links["next"]["url"]

        for wrong in (
            link.replace(trader_id, "other"),
            link + "A",
            link[:-3] + "AAA",
            link.split("cursor=")[0] + "cursor=é",
        ):
            assert refusal(admin.get(wrong), 400).startswith("cursor: ")
        cursor = link.split("cursor=")[1]
        assert refusal(admin.get(f"/v1/trades?cursor={cursor}"), 400) == "cursor: needs limit"

    def test_an_unknown_trader_has_no_trades(self, admin: httpx.Client) -> None:
        assert admin.get("/v1/trades?trader_id=nobody").json() == []
        assert admin.get("/v1/trades?trader_id=nobody&limit=5").json() == []

    @pytest.mark.parametrize(
        "query",
        ["delivery_day=2023-02-30", "delivery_day=today", "delivery_day=1200-01-01", "trader=trader_1",
         "limit=0", "limit=10001", "limit=1.5", "limit=²", "trader_id=", "trader_id=a&trader_id=b", "area=XX",
         "trader_id=%ff",
         "trader_id=" + "x" * 65, "&".join(["limit=1"] * 40)],
    )  # fmt: skip
    def test_a_parameter_that_cannot_be_is_a_bad_request(self, admin: httpx.Client, query: str) -> None:
        refusal(admin.get(f"/v1/trades?{query}"), 400)

    def test_an_owner_that_fails_midway_breaks_the_answer_off(self, own_gateway: Started) -> None:
        own_gateway.owners.trades.breaks_off = True
        with own_gateway.client() as client:
            client.post("/v1/trades", json=trade())
            with pytest.raises(httpx.RemoteProtocolError):
                client.get("/v1/trades")
