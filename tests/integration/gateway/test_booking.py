"""Single bookings through the HTTP door."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.integration.gateway.support import JSON, REPORT, refusal
from tests.support.trades import trade
from tests.unit.gateway.started import Started


class TestBooking:
    def test_a_trade_is_added_then_a_duplicate_then_a_conflict(self, admin: httpx.Client) -> None:
        sent = trade()

        answers = [admin.post("/v1/trades", json=sent) for _ in range(2)]
        other = admin.post("/v1/trades", json={**sent, "price": 1})

        assert [answer.json() for answer in answers] == [
            {"result": "added", "id": sent["id"]}, {"result": "duplicate", "id": sent["id"]}
        ]  # fmt: skip
        assert refusal(other, 409) == "another trade is booked under this id"

    def test_fifty_clients_race_and_one_wins(self, gateway: Started) -> None:
        sent = trade()

        def book(number: int) -> tuple[int, str]:
            with gateway.client() as client:
                answer = client.post("/v1/trades", json={**sent, "price": number % 2})
                return answer.status_code, answer.json().get("result", "")

        with ThreadPoolExecutor(50) as pool:
            results = list(pool.map(book, range(50)))

        assert results.count((200, "added")) == 1
        assert results.count((200, "duplicate")) == 24
        assert results.count((409, "")) == 25

    def test_what_the_owner_refuses_is_a_bad_request(self, admin: httpx.Client) -> None:
        sent = trade(delivery_day="2023-03-26", delivery_hour=2)

        assert "has no hour 02–03" in refusal(admin.post("/v1/trades", json=sent), 400)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "the body is empty"), (b"{", "malformed JSON"), (b"[]", "expected object"),
            (b"\xff", "malformed"),
            (json.dumps(trade(price=1.5)), "price: "), (json.dumps(trade(quantity=0.15)), "quantity: "),
            (json.dumps(trade(delivery_day="2023-02-30")), "delivery_day: "),
            (json.dumps(trade(quantity="@")).replace('"@"', "1e309"), "quantity: "),
            (json.dumps(trade(quantity="@")).replace('"@"', "NaN"), "malformed JSON"),
        ],
    )  # fmt: skip
    def test_a_body_that_is_no_trade_is_a_bad_request(
        self, admin: httpx.Client, content: bytes | str, message: str
    ) -> None:
        assert message in refusal(admin.post("/v1/trades", content=content, headers=JSON), 400)

    def test_a_body_over_the_limit_is_too_large_announced_or_not(self, admin: httpx.Client) -> None:
        large = json.dumps(trade(id="x" * 2_000_000)).encode()

        refusal(admin.post("/v1/trades", content=large, headers=JSON), 413)
        refusal(admin.post("/v1/trades", content=iter([large[:9], large[9:]]), headers=JSON), 413)

    @pytest.mark.parametrize(
        "headers",
        [
            {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=latin-1"}, {},
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ],
    )  # fmt: skip
    def test_another_content_type_is_unsupported(self, admin: httpx.Client, headers: dict[str, str]) -> None:
        refusal(admin.post("/v1/trades", content=json.dumps(trade()).encode(), headers=headers), 415)

    def test_an_owner_that_is_down_is_unavailable_and_so_is_one_that_is_gone(self, tmp_path: Path) -> None:
        with Started(tmp_path, book_timeout_s=2.0) as started, started.client() as client:
            ready_to_book = client.get("/readyz/trade-service")
            started.owners.trades.down = True
            full = client.post("/v1/trades", json=trade())
            started.owners.stop()
            gone = client.post("/v1/trades", json=trade())
            report = client.get(REPORT)
            ready = client.get("/readyz")
            alive = client.get("/healthz")
            no_booking = client.get("/readyz/trade-service")
            users = client.get("/v1/users")

        assert "disk is full" in refusal(full, 503)
        assert full.headers["retry-after"] == "1"
        assert refusal(gone, 503)
        assert refusal(report, 503)
        assert (ready.status_code, alive.status_code, no_booking.status_code) == (200, 200, 503)
        assert ready.json()["status"] == "degraded"
        assert ready.json()["services"]["trade-service"] == "unreachable"
        assert users.status_code == 200
        assert ready_to_book.json() == {"status": "ok", "services": {"trade-service": "ok"}}

    def test_single_bookings_at_once_share_calls(self, own_gateway: Started) -> None:
        calls = own_gateway.owners.trades.calls
        own_gateway.owners.trades.hold.clear()

        def book(_: int) -> int:
            with own_gateway.client() as client:
                return client.post("/v1/trades", json=trade()).status_code

        with ThreadPoolExecutor(40) as pool:
            answers = pool.map(book, range(40))
            time.sleep(0.5)  # both calls in flight are held; the rest gathers meanwhile
            own_gateway.owners.trades.hold.set()

            assert list(answers) == [200] * 40
        assert len(calls) < 20
