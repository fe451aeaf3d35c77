"""Who may do what: a trader own things, the desk everything, only an admin users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.trades import as_ndjson, trade, unique

pytestmark = pytest.mark.flow("Sign in")


@dataclass
class People:
    """One user of each kind."""

    trader: Client
    desk: Client
    service: Client
    own: str
    others: str


@pytest.fixture(scope="module")
def people(desk: Desk) -> Iterator[People]:
    own, others = unique("trader"), unique("trader")
    trader, desk_user = desk.user("trader", trader_id=own), desk.user("desk")
    service = desk.user("service")
    for trader_id in (own, others):
        desk_user.added(trade(trader_id=trader_id))
    yield People(trader, desk_user, service, own, others)
    for client in (trader, desk_user, service):
        client.close()


def test_a_trader_books_and_sees_own_trades(people: People) -> None:
    people.trader.added(trade(trader_id=people.own))

    assert {found["trader_id"] for found in people.trader.trades(trader_id=people.own)} == {people.own}
    assert people.trader.report(people.own, "2023-02-28")["trader_id"] == people.own


def test_a_trader_who_asks_for_everything_gets_own_trades_only(people: People) -> None:
    assert {found["trader_id"] for found in people.trader.trades()} == {people.own}


def test_a_trader_need_not_say_whose_report(people: People) -> None:
    answer = people.trader.http.get("/v1/reports/pnl", params={"delivery_day": "2023-02-28"})

    assert answer.status_code == 200
    assert answer.json()["trader_id"] == people.own


def test_a_trader_is_refused_what_is_others(people: People) -> None:
    refusals = [
        people.trader.book(trade(trader_id=people.others)),
        people.trader.http.get("/v1/trades", params={"trader_id": people.others}),
        people.trader.get_report(people.others, "2023-02-28"),
        people.trader.http.get("/v1/users"),
        people.trader.add_user(unique("u"), "long enough a password", "admin"),
    ]

    assert [answer.status_code for answer in refusals] == [403] * 5
    assert all(answer.json()["status_code"] == 403 and answer.json()["message"] for answer in refusals)


def test_of_a_traders_batch_only_own_rows_are_booked(people: People) -> None:
    mine, theirs = trade(trader_id=people.own), trade(trader_id=people.others)

    answer = people.trader.batch(as_ndjson([mine, theirs]))

    assert [row["result"] for row in answer.rows] == ["added", "invalid"]
    assert theirs["id"] not in {found["id"] for found in people.desk.trades(trader_id=people.others)}


@pytest.mark.parametrize("who", ["desk", "service"])
def test_desk_and_services_book_and_read_everything(people: People, who: str) -> None:
    client: Client = getattr(people, who)

    client.added(trade(trader_id=people.others))

    assert client.trades(trader_id=people.own)
    assert client.report(people.own, "2023-02-28")["trader_id"] == people.own
    assert client.http.get("/v1/users").status_code == 403


def test_a_disabled_user_is_out_at_once(desk: Desk, admin: Client) -> None:
    leaver = desk.user("desk")
    assert leaver.http.get("/v1/me").status_code == 200

    assert admin.http.patch(f"/v1/users/{leaver.name}", json={"disabled": True}).status_code == 200

    assert leaver.http.get("/v1/me").status_code == 401
    leaver.close()


def test_a_token_does_what_the_password_does(desk: Desk, people: People) -> None:
    form = {"grant_type": "password", "username": people.trader.name, "password": people.trader.password}
    with httpx.Client(base_url=desk.url, timeout=20, trust_env=False) as http:
        token = http.post("/v1/oauth/token", data=form).json()
        bearer = {"Authorization": f"Bearer {token['access_token']}"}

        assert http.get("/v1/me", headers=bearer).json()["trader_id"] == people.own
        asked = http.get("/v1/trades", params={"trader_id": people.others}, headers=bearer)
        assert asked.status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic bm9jb2xvbg=="},
        {"Authorization": "Bearer not.a.token"},
        {"Authorization": "Digest username=admin"},
    ],
    ids=["none", "empty", "no base64", "no colon", "no token", "other scheme"],
)
def test_without_known_credentials_nothing_is_told(desk: Desk, header: dict[str, str]) -> None:
    answer = httpx.get(f"{desk.url}/v1/trades", headers=header, timeout=20, trust_env=False)

    assert answer.status_code == 401
    assert answer.json()["status_code"] == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("role", ["support", "treasurer"])
def test_who_has_to_do_with_meters_or_cash_sees_no_trades_and_no_prices(desk: Desk, role: str) -> None:
    client = desk.user(role)
    day = {"delivery_day": "2023-02-28"}

    refusals = [
        client.http.get("/v1/trades"),
        client.book(trade()),
        client.http.get("/v1/reports/pnl", params={**day, "trader_id": "trader_1"}),
        client.http.get("/v1/reports/performance", params={**day, "trader_id": "trader_1"}),
        client.http.get("/v1/reference-prices", params=day),
        client.http.get("/v1/feed"),
        client.http.get("/v1/quarantine"),
        client.http.get("/v1/users"),
    ]
    me = client.http.get("/v1/me")

    assert [answer.status_code for answer in refusals] == [403] * len(refusals)
    assert me.json()["roles"] == [role]
    client.close()
