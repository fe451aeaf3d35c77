"""HTTP Basic: odd credentials, throttling, crowds."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.integration.gateway.support import basic, refusal, user_of
from tests.unit.gateway.started import ADMIN_PASSWORD, REPORT_SECRET, Started


class TestPasswords:
    @pytest.mark.parametrize(
        "headers",
        [
            {}, basic(b"admin"), basic(b":"), basic(b"admin:"), basic(b"nobody:x"),
            basic(b"\xff\xfe:\xff"),
            basic(b"ten:" + b"k" * 10_240), basic(b"n" * 10_240 + b":x"), basic(b"a\x00b:c\x00d"),
            {"Authorization": "Basic"}, {"Authorization": "Basic !!!"}, {"Authorization": "Basic YWR taW4="},
            {"Authorization": "Digest x"}, {"Authorization": ""}, {"Authorization": "Basic \xff"},
            basic(b"admin:" + ADMIN_PASSWORD.encode("latin-1")),
        ],
    )  # fmt: skip
    def test_odd_credentials_are_refused_and_never_a_fault(
        self, nobody: httpx.Client, headers: dict[str, str]
    ) -> None:
        raw = {name: value.encode("latin-1") for name, value in headers.items()}

        refusal(nobody.get("/v1/me", headers=raw), 401)

    def test_a_password_may_hold_colons_and_umlauts(self, gateway: Started, admin: httpx.Client) -> None:
        assert admin.get("/v1/me").json() == {"name": "admin", "roles": ["admin"], "trader_id": None}

    def test_the_scheme_is_read_in_any_case(self, nobody: httpx.Client) -> None:
        good = basic(f"admin:{ADMIN_PASSWORD}".encode())["Authorization"]

        assert (
            nobody.get("/v1/me", headers={"Authorization": good.replace("Basic", "bAsIc")}).status_code == 200
        )

    def test_wrong_ones_cost_ever_more_time(self, own_gateway: Started) -> None:
        clock = own_gateway.clock
        waits = []
        with own_gateway.client("admin", "wrong") as wrong, own_gateway.client() as right:
            for _ in range(6):
                answers = []
                while (answer := wrong.get("/v1/me")).status_code == 401:
                    answers.append(answer)
                refusal(answer, 429)
                waits.append((len(answers), int(answer.headers["retry-after"])))
                refusal(own_gateway.client().get("/v1/me"), 429)
                clock.advance(waits[-1][1])

            assert waits == [(3, 1), (1, 2), (1, 4), (1, 8), (1, 16), (1, 32)]
            assert right.get("/v1/me").status_code == 200
            assert wrong.get("/v1/me").status_code == 401

    def test_whom_a_trusted_proxy_names_is_throttled_and_nobody_else(self, tmp_path: Path) -> None:
        def statuses(gateway: Started, *callers: str) -> list[int]:
            with gateway.client("admin", "wrong") as wrong:
                return [
                    wrong.get("/v1/me", headers={"X-Forwarded-For": caller}).status_code for caller in callers
                ]

        guesses = ["198.51.100.1"] * 4
        with Started(tmp_path / "trusting", trusted_proxies=("127.0.0.1",)) as gateway:
            assert statuses(gateway, *guesses, "198.51.100.2") == [401, 401, 401, 429, 401]
        with Started(tmp_path / "not") as gateway:  # else a guesser would be somebody else each time
            assert statuses(gateway, "1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4") == [401, 401, 401, 429]

    def test_a_program_that_signs_people_in_is_believed_where_their_browser_is(
        self, own_gateway: Started
    ) -> None:
        def status(address: str, password: str, auth: tuple[str, str] | None) -> int:
            form = {"grant_type": "password", "username": "admin", "password": password,
                    "user_address": address}  # fmt: skip
            with own_gateway.client(None) as client:
                return client.post("/v1/oauth/token", data=form, auth=auth).status_code

        program = ("report-service", REPORT_SECRET)
        guesses = [status("198.51.100.1", "wrong", program) for _ in range(5)]

        assert guesses == [400, 400, 400, 429, 429]
        assert status("198.51.100.2", ADMIN_PASSWORD, program) == 200
        assert [status(f"203.0.113.{each}", "wrong", None) for each in range(5)] == guesses
        assert status("198.51.100.3", ADMIN_PASSWORD, ("report-service", "wrong")) == 401

    def test_a_wrong_one_raced_many_times_is_still_throttled(self, own_gateway: Started) -> None:
        def try_one(number: int) -> int:
            with own_gateway.client("admin", f"wrong {number}") as client:
                return client.get("/v1/me").status_code

        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(try_one, range(20)))

        assert (statuses.count(401), statuses.count(429)) == (3, 17)

    def test_who_is_remembered_is_not_held_up_by_somebody_guessing(self, own_gateway: Started) -> None:
        with own_gateway.client() as right, own_gateway.client("admin", "wrong") as wrong:
            right.get("/v1/me")
            while wrong.get("/v1/me").status_code != 429:
                pass

            assert right.get("/v1/me").status_code == 200
            own_gateway.clock.advance(3600)
            while wrong.get("/v1/me").status_code != 429:
                pass
            assert right.get("/v1/me").status_code == 200

    def test_identical_sign_ins_at_once_are_verified_once_and_nothing_stalls(
        self, own_gateway: Started, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from gateway.usecases.passwords import Passwords

        verified = []
        real = Passwords._verify

        def counted(self: Passwords, password_hash: str | None, password: str) -> bool:
            verified.append(threading.get_ident())
            return real(self, password_hash, password)

        monkeypatch.setattr(Passwords, "_verify", counted)

        def sign_in(_: int) -> int:
            with own_gateway.client() as client:
                return client.get("/v1/me").status_code

        with ThreadPoolExecutor(50) as pool:
            assert set(pool.map(sign_in, range(200))) == {200}

        assert len(verified) == 1

    @pytest.mark.slow
    def test_many_users_signing_in_at_once_do_not_stall_the_others(self, own_gateway: Started) -> None:
        answered = 0
        done = threading.Event()

        def sign_in(number: int) -> int:
            with own_gateway.client(f"nobody{number}", "password") as client:
                return client.get("/v1/me").status_code

        with ThreadPoolExecutor(60) as pool, own_gateway.client(None) as other:
            signing = [pool.submit(sign_in, number) for number in range(60)]
            while not done.is_set():
                assert other.get("/healthz").status_code == 200
                answered += 1
                if all(each.done() for each in signing):
                    done.set()

        assert {each.result() for each in signing} == {401, 429}  # an address has a stock of wrong ones
        assert answered > 20, "a loop that verified passwords itself would answer between two of them at best"

    def test_a_disabled_user_is_refused_at_once(self, gateway: Started, admin: httpx.Client) -> None:
        name, password = user_of(admin, "desk")
        with gateway.client(name, password) as user:
            assert user.get("/v1/me").status_code == 200

            admin.patch(f"/v1/users/{name}", json={"disabled": True})

            refusal(user.get("/v1/me"), 401)

    def test_a_change_in_the_store_counts_within_a_minute(self, own_gateway: Started) -> None:
        with own_gateway.client() as admin, own_gateway.store.write() as connection:
            assert admin.get("/v1/me").status_code == 200
            connection.exec_driver_sql("UPDATE users SET disabled = true")
        with own_gateway.client() as admin:
            assert admin.get("/v1/me").status_code == 200

            own_gateway.clock.advance(60)

            refusal(admin.get("/v1/me"), 401)
