"""Users, roles, and the store they are kept in."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway.store import UserStore

from tests.integration.gateway.support import JSON, REPORT, refusal, user_of
from tests.support import engines
from tests.support.trades import trade, unique
from tests.unit.gateway.started import Started


class TestUsers:
    def test_a_user_is_added_found_and_changed(self, gateway: Started, admin: httpx.Client) -> None:
        name, _ = user_of(admin, "trader", trader_id="trader_1")

        found = admin.get(f"/v1/users/{name}").json()
        changed = admin.patch(f"/v1/users/{name}", json={"roles": ["desk"], "trader_id": None}).json()

        assert (found["roles"], found["trader_id"], found["disabled"]) == (["trader"], "trader_1", False)
        assert (changed["roles"], changed["trader_id"]) == (["desk"], None)
        assert name in [user["name"] for user in admin.get("/v1/users").json()]
        assert "password" not in admin.get("/v1/users").text

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"name": ""}, "name: "), ({"name": "a b"}, "name: "), ({"name": "x\n"}, "name: "),
            ({"name": "é"}, "name: "), ({"name": None}, "name: "),
            ({"password": "short"}, "password: at least"), ({"password": "é" * 600}, "password: at most"),
            ({"roles": ["king"]}, "roles: unknown 'king'"), ({"roles": "admin"}, "roles: "),
            ({"roles": ["trader"]}, "trader_id: the trader role needs one"),
            ({"trader_id": ""}, "trader_id: 1 to 64"), ({"trader_id": ".."}, "trader_id: '..' has no page"),
            ({"trader_id": "csv_t "}, "trader_id: character 6 (U+0020 SPACE) stands at the end"),
            ({"colour": 1}, "colour: unknown field"),
        ],
    )  # fmt: skip
    def test_a_user_that_cannot_be_is_refused(
        self, admin: httpx.Client, changes: dict[str, Any], message: str
    ) -> None:
        body = {"name": unique("u"), "password": "long enough", "roles": [], "trader_id": None, **changes}

        assert refusal(admin.post("/v1/users", json=body), 400).startswith(message)

    def test_a_trader_id_from_before_there_was_a_rule_stays_its_users(self, own_gateway: Started) -> None:
        UserStore(own_gateway.store).change("admin", lambda user: replace(user, trader_id="csv_t "))

        with own_gateway.client() as admin:
            renamed = admin.patch("/v1/users/admin", json={"disabled": False, "trader_id": "csv_t "})
            other = admin.patch("/v1/users/admin", json={"trader_id": "csv_t\u00a0"})

        assert (renamed.status_code, renamed.json()["trader_id"]) == (200, "csv_t ")
        assert refusal(other, 400).startswith("trader_id: character 6 (U+00A0 NO-BREAK SPACE)")

    def test_a_name_is_taken_once_also_when_raced(self, gateway: Started) -> None:
        body = {"name": unique("u"), "password": "long enough"}

        def add(_: int) -> int:
            with gateway.client() as client:
                return client.post("/v1/users", json=body).status_code

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(add, range(8))) == [201] + [409] * 7

    def test_the_last_admin_stays(self, own_gateway: Started) -> None:
        with own_gateway.client() as admin:
            for change in ({"disabled": True}, {"roles": ["desk"]}):
                refusal(admin.patch("/v1/users/admin", json=change), 409)
            user_of(admin, "admin")

            assert admin.patch("/v1/users/admin", json={"roles": ["desk"]}).status_code == 200

    def test_only_an_admin_sees_and_changes_users(self, gateway: Started, admin: httpx.Client) -> None:
        for roles in ("desk", "service"):
            name, password = user_of(admin, roles)
            with gateway.client(name, password) as user:
                refusal(user.get("/v1/users"), 403)
                refusal(user.get("/v1/users/admin"), 403)
                refusal(user.post("/v1/users", json={"name": "x", "password": "12345678"}), 403)
                refusal(user.patch(f"/v1/users/{name}", json={"roles": ["admin"]}), 403)

    def test_nobody_unknown_is_changed(self, admin: httpx.Client) -> None:
        refusal(admin.patch("/v1/users/nobody", json={}), 404)
        refusal(admin.get("/v1/users/nobody"), 404)

    def test_ones_own_password_is_changed_with_the_old_one(self, own_gateway: Started) -> None:
        with own_gateway.client() as admin:
            name, password = user_of(admin, "desk")
        wanted = {"old_password": password, "new_password": "another:öne"}
        with own_gateway.client(name, password) as user:
            refusal(user.put("/v1/me/password", json={**wanted, "old_password": "wrong"}), 403)
            refusal(user.put("/v1/me/password", json={**wanted, "new_password": "short"}), 400)
            assert user.put("/v1/me/password", json=wanted).status_code == 204
            refusal(user.get("/v1/me"), 401)
        with own_gateway.client(name, "another:öne") as user:
            assert user.get("/v1/me").status_code == 200


class TestRoles:
    def test_a_trader_books_and_sees_own_trades_only(self, gateway: Started, admin: httpx.Client) -> None:
        own, other = unique("trader"), unique("trader")
        name, password = user_of(admin, "trader", trader_id=own)
        admin.post("/v1/trades", json=trade(trader_id=other))

        with gateway.client(name, password) as trader:
            assert trader.post("/v1/trades", json=trade(trader_id=own)).status_code == 200
            refusal(trader.post("/v1/trades", json=trade(trader_id=other)), 403)
            refusal(trader.get(f"/v1/trades?trader_id={other}"), 403)
            refusal(trader.get(f"/v1/reports/pnl?trader_id={other}&delivery_day=2023-02-28"), 403)
            found = trader.get("/v1/trades").json()
            rows = trader.post(
                "/v1/trades/batch", json=[trade(trader_id=other), trade(trader_id=own)], headers=JSON
            ).json()["rows"]

        assert [each["trader_id"] for each in found] == [own]
        assert [row["result"] for row in rows] == ["invalid", "added"]
        assert rows[0]["reason"] == f"you may only use trades of {own}"

    @pytest.mark.parametrize("role", ["desk", "service", "admin"])
    def test_desk_service_and_admin_use_everybodys(
        self, gateway: Started, admin: httpx.Client, role: str
    ) -> None:
        name, password = user_of(admin, role)

        with gateway.client(name, password) as user:
            assert user.post("/v1/trades", json=trade()).status_code == 200
            assert user.get("/v1/trades?trader_id=trader_1&limit=1").status_code == 200
            assert user.get(REPORT).status_code == 200

    def test_who_has_no_role_may_do_nothing(self, gateway: Started, admin: httpx.Client) -> None:
        name, password = user_of(admin)

        with gateway.client(name, password) as user:
            assert user.get("/v1/me").json()["roles"] == []
            refusal(user.post("/v1/trades", json=trade()), 403)
            refusal(user.get("/v1/trades"), 403)
            refusal(user.get(REPORT), 403)


class TestStore:
    def test_a_store_that_cannot_be_written_is_unavailable(self, own_gateway: Started) -> None:
        new = {"name": "x", "password": "12345678"}
        with own_gateway.client() as admin:
            admin.get("/v1/me")
            with engines.locked(own_gateway.settings.store_url):
                refusal(admin.post("/v1/users", json=new), 503)
            assert admin.post("/v1/users", json=new).status_code == 201

    def test_the_first_user_is_made_once_and_its_password_set_at_every_start(self, tmp_path: Path) -> None:
        def signs_in(password: str, **settings: Any) -> int:
            with (
                Started(tmp_path, **{"admin_password": None, **settings}) as started,
                started.client("admin", password) as client,
            ):
                return client.get("/v1/me").status_code

        assert signs_in("first one", admin_password_if_new="first one") == 200
        assert signs_in("second", admin_password_if_new="second") == 401
        assert signs_in("third", admin_password="third") == 200
        assert signs_in("third") == 200
