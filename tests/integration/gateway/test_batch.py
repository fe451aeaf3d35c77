"""Batches through the HTTP door."""

import base64
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.gateway.support import refusal, user_of
from tests.support.trades import PUBLISHED_ROW, as_csv, as_ndjson, trade, unique
from tests.support.waiting import wait_until
from tests.unit.gateway.started import ADMIN_PASSWORD, CLIENT_SECRET, Started


class TestBatch:
    def post(
        self, client: httpx.Client, content: Any, kind: str, query: str = "", **headers: str
    ) -> httpx.Response:
        return client.post(
            f"/v1/trades/batch{query}", content=content, headers={"Content-Type": kind, **headers}
        )

    def test_each_row_is_answered(self, admin: httpx.Client) -> None:
        first, second = trade(), trade()
        rows = [first, second, first, {**second, "price": 5}, trade(price=1.5), trade(delivery_hour=99)]

        answer = self.post(admin, as_ndjson(rows), "application/x-ndjson").json()

        assert {name: answer[name] for name in ("added", "duplicate", "conflict", "invalid")} == {
            "added": 2, "duplicate": 1, "conflict": 1, "invalid": 2,
        }  # fmt: skip
        assert [row["row"] for row in answer["rows"]] == [1, 2, 3, 4, 5, 6]
        assert [row["id"] for row in answer["rows"]] == [row["id"] for row in rows]
        assert answer["rows"][4]["reason"] == "price: expected int, got float"
        assert "reason" not in answer["rows"][0]

    @pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/csv"])
    def test_one_bad_row_in_many_is_found_by_its_number(self, admin: httpx.Client, kind: str) -> None:
        rows = [trade() for _ in range(3456)]
        rows[2345]["price"] = "x"
        content = {
            "application/json": lambda: json.dumps(rows), "application/x-ndjson": lambda: as_ndjson(rows),
            "text/csv": lambda: as_csv(rows),
        }[kind]()  # fmt: skip

        answer = self.post(admin, content, kind, "?results=refused").json()

        assert (answer["added"], answer["invalid"]) == (3455, 1)
        assert [(row["row"], row["id"]) for row in answer["rows"]] == [(2346, rows[2345]["id"])]

    def test_lines_are_answered_in_lines_where_asked(self, admin: httpx.Client) -> None:
        answer = self.post(
            admin, as_csv([trade(), trade(price=1)]), "text/csv", Accept="application/x-ndjson;q=0.9"
        )

        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line.get("row") for line in lines] == [1, 2, None]
        assert lines[2] == {"summary": {"added": 2, "duplicate": 0, "conflict": 0, "invalid": 0}}

    def test_a_result_larger_than_memory_allows_goes_over_a_file(self, admin: httpx.Client) -> None:
        rows = [trade(id=f"{unique('long')}{'x' * 60}") for _ in range(12_000)]

        answer = self.post(admin, as_ndjson(rows), "application/x-ndjson")

        assert len(answer.content) > 1024 * 1024
        assert [row["id"] for row in answer.json()["rows"]] == [row["id"] for row in rows]

    @pytest.mark.parametrize(
        ("kind", "content"),
        [("text/csv", b""), ("application/x-ndjson", b""), ("application/json", b""),
         ("application/json", b"{}"), ("text/csv", b"id,price\n"), ("text/csv", PUBLISHED_ROW.encode())],
    )  # fmt: skip
    def test_a_malformed_whole_is_a_bad_request(self, admin: httpx.Client, kind: str, content: bytes) -> None:
        refusal(self.post(admin, content, kind), 400)

    def test_a_batch_without_rows_is_none(self, admin: httpx.Client) -> None:
        counts = {"added": 0, "duplicate": 0, "conflict": 0, "invalid": 0, "rows": []}

        assert self.post(admin, b"[]", "application/json").json() == counts
        assert self.post(admin, as_csv([]), "text/csv").json() == counts

    def test_limits_are_kept(self, tmp_path: Path) -> None:
        rows = [trade() for _ in range(30)]
        with (
            Started(tmp_path, batch_limit_bytes=6_000, batch_array_limit_bytes=3_000) as started,
            started.client() as client,
        ):
            array = self.post(client, json.dumps(rows), "application/json")
            chunked = self.post(client, iter([json.dumps(rows).encode()]), "application/json")
            lines = self.post(client, iter([as_ndjson(rows).encode()]), "application/x-ndjson")
            fine = self.post(client, as_ndjson(rows[:20]), "application/x-ndjson")

        for answer in (array, chunked, lines):
            refusal(answer, 413)
        assert fine.json()["added"] == 20

    def test_a_file_is_marked_as_one_and_not_by_a_trader(self, own_gateway: Started) -> None:
        with own_gateway.client() as admin:
            name, password = user_of(admin, "trader", trader_id="trader_1")
            assert self.post(admin, as_csv([trade()]), "text/csv", "?source=file").status_code == 200
        with own_gateway.client(name, password) as trader:
            refusal(self.post(trader, as_csv([trade()]), "text/csv", "?source=file"), 403)

        assert own_gateway.owners.trades.sources == {2}

    def test_the_exchanges_own_file_may_be_off_its_steps_and_nobody_elses(self, own_gateway: Started) -> None:
        rows = as_csv([trade(quantity="12.34"), trade(quantity="12.3456"), trade(quantity="0")])
        with own_gateway.client("ingest-service", CLIENT_SECRET) as client:
            answer = client.post("/v1/oauth/token", data={"grant_type": "client_credentials"})
            bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}

        def sent(query: str, name: str | None = "admin", **headers: str) -> list[str]:
            with own_gateway.client(name) as client:
                answer = self.post(client, rows, "text/csv", query, **headers).json()
            return [row.get("reason", row["result"]) for row in answer["rows"]]

        steps = ["quantity: steps of 0.1 MW"] * 2
        none = "quantity: above 0 and at most 1000000 MW"
        assert sent("?source=file", None, **bearer) == ["added", "quantity: finer than a kW", none]
        assert sent("", None, **bearer) == [*steps, none]  # it does not say that this is the exchange's file
        assert sent("?source=file") == [*steps, none]
        assert own_gateway.owners.trades.by_exchange == [True]  # of the others nothing was left to book

    def test_an_owner_that_fails_midway_is_unavailable(self, own_gateway: Started) -> None:
        own_gateway.owners.trades.down = True

        with own_gateway.client() as client:
            answer = self.post(client, as_ndjson(trade() for _ in range(5_000)), "application/x-ndjson")

        refusal(answer, 503)

    def test_a_client_that_leaves_midway_frees_its_place(self, own_gateway: Started) -> None:
        for _ in range(10):  # more than one may send at once
            self.half_sent(own_gateway, rows=1500).close()

        with own_gateway.client() as client:

            def booked() -> bool:
                return self.post(client, as_ndjson([trade()]), "application/x-ndjson").status_code == 200

            wait_until(booked, timeout_s=10, what="a batch is taken again")

    def test_batches_beyond_a_users_share_wait_for_their_turn(self, own_gateway: Started) -> None:
        answers = self.booked_at_once(own_gateway, 10, turned_away=0)

        assert [answer.status_code for answer in answers] == [200] * 10

    @pytest.mark.parametrize(
        ("limit", "value", "count", "status"),
        [("MOST_WAITING", 1, 11, 503), ("MOST_OPEN", 3, 5, 503), ("WAIT_S", 0.2, 10, 429)],
    )
    def test_more_batches_than_there_is_room_for_are_turned_away(
        self, own_gateway: Started, monkeypatch: pytest.MonkeyPatch,
        limit: str, value: float, count: int, status: int,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(f"gateway.usecases.batch.{limit}", value)

        answers = self.booked_at_once(own_gateway, count, turned_away=2)

        assert sorted(answer.status_code for answer in answers) == [200] * (count - 2) + [status] * 2
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code == status)

    def test_who_sends_slowly_holds_up_nobody(self, own_gateway: Started) -> None:
        """Not even their own next batch, and not the nightly file."""
        slow = [self.half_sent(own_gateway, rows=2_500) for _ in range(7)]
        wait_until(
            lambda: len(own_gateway.owners.trades.booked) >= 7 * 2_000, timeout_s=20, what="they are at it"
        )

        with own_gateway.client() as client:
            assert self.post(client, as_ndjson([trade()]), "application/x-ndjson").json()["added"] == 1
        for connection in slow:
            connection.close()

    def test_the_nightly_file_passes_what_people_send(
        self, own_gateway: Started, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.usecases.batch.MOST_OPEN", 4)
        token = {"grant_type": "client_credentials"}
        with own_gateway.client("ingest-service", CLIENT_SECRET) as program:
            granted = program.post("/v1/oauth/token", data=token).json()["access_token"]
        slow = [self.half_sent(own_gateway) for _ in range(4)]

        with own_gateway.client() as person, own_gateway.client(None) as file:
            wait_until(
                lambda: self.post(person, as_csv([trade()]), "text/csv").status_code == 503,
                timeout_s=10, what="there is no room for people's",
            )  # fmt: skip
            answer = self.post(
                file, as_csv([trade()]), "text/csv", "?source=file", Authorization=f"Bearer {granted}"
            )

        assert answer.json()["added"] == 1
        for connection in slow:
            connection.close()

    @pytest.mark.parametrize("change", [{"disabled": True}, {"roles": ["trader"], "trader_id": "somebody"}])
    def test_of_a_batch_under_way_nothing_is_booked_after_its_users_rights_changed(
        self, own_gateway: Started, change: dict[str, Any]
    ) -> None:
        with own_gateway.client() as admin:
            name, password = user_of(admin, "desk")
            sending = self.half_sent(own_gateway, rows=2_500, credentials=f"{name}:{password}")
            booked = own_gateway.owners.trades.booked
            wait_until(lambda: len(booked) == 2_000, timeout_s=20, what="a part is booked")

            assert admin.patch(f"/v1/users/{name}", json=change).status_code == 200
            sending.sendall(as_ndjson(trade() for _ in range(2_500)).encode())
            answer = sending.recv(65536).decode()

        assert answer.startswith("HTTP/1.1 401 ")
        assert "your rights changed while you sent this" in answer
        assert len(booked) == 2_000
        sending.close()

    def half_sent(
        self, gateway: Started, *, rows: int = 1, credentials: str = f"admin:{ADMIN_PASSWORD}"
    ) -> socket.socket:
        """The beginning of a batch, whose rest does not come."""
        authorization = base64.b64encode(credentials.encode()).decode()
        head = (
            "POST /v1/trades/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
            f"Authorization: Basic {authorization}\r\nContent-Length: 10000000\r\n\r\n"
        )
        connection = socket.create_connection(("127.0.0.1", gateway.port))
        connection.sendall(head.encode() + as_ndjson(trade() for _ in range(rows)).encode())
        return connection

    def booked_at_once(self, gateway: Started, count: int, *, turned_away: int) -> list[httpx.Response]:
        """Answers to batches that trade-service holds until so many were turned away."""
        gateway.owners.trades.hold.clear()

        def book(_: int) -> httpx.Response:
            with gateway.client() as client:
                return self.post(client, as_ndjson([trade()]), "application/x-ndjson")

        with ThreadPoolExecutor(count) as pool:
            running = [pool.submit(book, number) for number in range(count)]
            try:
                wait_until(
                    lambda: sum(answer.done() for answer in running) == turned_away,
                    timeout_s=20, what=f"{turned_away} are turned away",
                )  # fmt: skip
            finally:
                gateway.owners.trades.hold.set()
            return [answer.result() for answer in running]

    def test_others_are_served_while_a_batch_runs(self, own_gateway: Started) -> None:
        content = as_ndjson(trade() for _ in range(30_000))
        slowest = 0.0
        with own_gateway.client() as client, own_gateway.client() as other, ThreadPoolExecutor(1) as pool:
            other.get("/v1/me")
            sent = time.monotonic()
            batch = pool.submit(self.post, client, content, "application/x-ndjson")
            while not batch.done():
                begun = time.monotonic()
                assert other.get("/v1/me").status_code == 200
                slowest = max(slowest, time.monotonic() - begun)

            took_s = time.monotonic() - sent
            assert batch.result().json()["added"] == 30_000
        assert slowest < max(1.0, took_s / 2)  # the latter on a crowded machine
