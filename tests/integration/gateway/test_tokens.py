"""The token endpoint and what its tokens open."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from wattbook.auth.tokens import TokenReader
from wattbook.errors import Unavailable
from wattbook.walls import ServicePasses, service_passes

from tests.integration.gateway.support import refusal, user_of
from tests.support.waiting import wait_until
from tests.unit.gateway.started import ADMIN_PASSWORD, CLIENT_SECRET, REPORT_SECRET, Started

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class TestTokens:
    def ask(self, client: httpx.Client, **form: str) -> httpx.Response:
        return client.post("/v1/oauth/token", data=form)

    def sign_in(self, client: httpx.Client) -> dict[str, Any]:
        answer = self.ask(client, grant_type="password", username="admin", password=ADMIN_PASSWORD)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return dict(answer.json())

    def bearer(self, client: httpx.Client, token: str) -> httpx.Response:
        return client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})

    def test_a_password_gives_tokens_that_work(self, nobody: httpx.Client) -> None:
        tokens = self.sign_in(nobody)

        assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
        assert self.bearer(nobody, tokens["access_token"]).json()["name"] == "admin"

    def test_an_access_token_is_a_jwt_that_others_can_check(self, nobody: httpx.Client) -> None:
        from joserfc import jwt
        from joserfc.jwk import KeySet

        keys = KeySet.import_key_set(nobody.get("/v1/oauth/jwks").json())
        token = jwt.decode(self.sign_in(nobody)["access_token"], keys, algorithms=["ES256"])

        assert (token.claims["sub"], token.claims["aud"]) == ("admin", "wattbook")
        assert not any(key.is_private for key in keys.keys)

    def test_a_refresh_token_holds_once(self, own_gateway: Started) -> None:
        with own_gateway.client(None) as client:
            first = self.sign_in(client)
            second = self.ask(client, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
            at_once = self.ask(client, grant_type="refresh_token", refresh_token=first["refresh_token"])
            third = self.ask(client, grant_type="refresh_token", refresh_token=second["refresh_token"])
            own_gateway.clock.advance(11)
            stolen = self.ask(client, grant_type="refresh_token", refresh_token=second["refresh_token"])
            ended = self.ask(client, grant_type="refresh_token", refresh_token=third.json()["refresh_token"])

        assert second["access_token"] != first["access_token"]
        assert third.status_code == 200
        for answer in (at_once, stolen, ended):
            refusal(answer, 400)
            assert answer.json()["error"] == "invalid_grant"

    def test_who_signs_out_ends_every_token_that_follows(self, own_gateway: Started) -> None:
        with own_gateway.client(None) as client:
            first, other = self.sign_in(client), self.sign_in(client)
            second = self.ask(client, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
            assert self.bearer(client, second["access_token"]).status_code == 200

            old = client.post("/v1/oauth/revoke", data={"token": first["refresh_token"]})
            again = client.post("/v1/oauth/revoke", data={"token": "never given out"})

            ended = self.ask(client, grant_type="refresh_token", refresh_token=second["refresh_token"])
            kept = self.ask(client, grant_type="refresh_token", refresh_token=other["refresh_token"])
            nothing = client.post("/v1/oauth/revoke", data={"token_type_hint": "refresh_token"})

            refusal(self.bearer(client, second["access_token"]), 401)
            assert self.bearer(client, other["access_token"]).status_code == 200

        assert (old.status_code, old.content, again.status_code) == (200, b"", 200)
        assert ended.json()["error"] == "invalid_grant"
        assert kept.status_code == 200
        assert (nothing.status_code, nothing.json()["error"]) == (400, "invalid_request")

    def test_a_refresh_token_raced_is_given_out_once(self, own_gateway: Started) -> None:
        with own_gateway.client(None) as client:
            refresh = self.sign_in(client)["refresh_token"]

        def again(_: int) -> int:
            with own_gateway.client(None) as client:
                return self.ask(client, grant_type="refresh_token", refresh_token=refresh).status_code

        with ThreadPoolExecutor(10) as pool:
            statuses = sorted(pool.map(again, range(10)))

        assert statuses == [200] + [400] * 9

    def test_tokens_end_in_time(self, own_gateway: Started) -> None:
        with own_gateway.client(None) as client:
            tokens = self.sign_in(client)
            own_gateway.clock.advance(3599)
            assert self.bearer(client, tokens["access_token"]).status_code == 200
            own_gateway.clock.advance(1)
            refusal(self.bearer(client, tokens["access_token"]), 401)
            own_gateway.clock.advance(11 * 3600)
            late = self.ask(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"])

        assert late.json()["error"] == "invalid_grant"

    def test_a_program_gets_a_token_of_its_own_and_no_refresh_token(self, nobody: httpx.Client) -> None:
        answer = nobody.post(
            "/v1/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=("ingest-service", CLIENT_SECRET),
        )

        assert "refresh_token" not in answer.json()
        me = self.bearer(nobody, answer.json()["access_token"]).json()
        assert me == {"name": "ingest-service", "roles": ["service"], "trader_id": None}

    def test_a_service_gets_passes_for_reading_at_the_owners_it_needs(
        self, own_gateway: Started, tmp_path: Path
    ) -> None:
        keys = tmp_path / "keys.pem"
        keys.write_bytes(own_gateway.key.as_pem(private=False))
        passes = service_passes(
            gateway_url=own_gateway.url,
            client_id="report-service",
            secret=REPORT_SECRET,
            audience="trade-service",
        )

        assert passes is not None
        principal = TokenReader(keys, audience="trade-service").principal(passes())
        assert (principal.name, principal.roles, principal.may_write) == (
            "report-service",
            {"service"},
            False,
        )
        assert passes() == passes()  # kept for half of its life
        with own_gateway.client(None) as nobody:
            refusal(self.bearer(nobody, passes()), 401)  # no token for the API

    @pytest.mark.parametrize(
        ("client", "audience"),
        [
            ("pricing-service", "report-service"),
            ("ingest-service", "pricing-service"),
            ("report-service", ""),
            ("report-service", "wattbook"),
        ],
    )
    def test_a_service_gets_no_pass_to_what_it_does_not_need(
        self, own_gateway: Started, client: str, audience: str
    ) -> None:
        secret = {"ingest-service": CLIENT_SECRET}.get(client, REPORT_SECRET)
        with own_gateway.client(None) as nobody:
            answer = nobody.post(
                "/v1/oauth/token",
                data={"grant_type": "client_credentials", "audience": audience},
                auth=(client, secret),
            )

        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")

    def test_a_wrong_secret_gets_no_pass_and_the_service_says_so(self, own_gateway: Started) -> None:
        passes = ServicePasses(
            gateway_url=own_gateway.url, client_id="report-service", secret="no", audience="trade-service"
        )

        with pytest.raises(Unavailable, match="no pass to trade-service"):
            passes()

    @pytest.mark.parametrize(
        ("form", "status", "error"),
        [
            ({}, 400, "invalid_request"),
            ({"grant_type": "magic é\"\\"}, 400, "unsupported_grant_type"),
            ({"grant_type": "password"}, 400, "invalid_request"),
            ({"grant_type": "password", "username": "nobody", "password": "x"}, 400, "invalid_grant"),
            (
                {"grant_type": "password", "username": "a", "password": "x", "client_id": "?"},
                400, "invalid_client",
            ),
            ({"grant_type": "refresh_token"}, 400, "invalid_request"),
            ({"grant_type": "refresh_token", "refresh_token": "é"}, 400, "invalid_grant"),
            ({"grant_type": "client_credentials"}, 401, "invalid_client"),
            (
                {"grant_type": "client_credentials", "client_id": "ingest-service", "client_secret": "no"},
                401, "invalid_client",
            ),
        ],
    )  # fmt: skip
    def test_what_is_not_granted_is_said_in_both_languages(
        self, nobody: httpx.Client, form: dict[str, str], status: int, error: str
    ) -> None:
        answer = nobody.post(
            "/v1/oauth/token", data=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )

        refusal(answer, status)
        assert answer.json()["error"] == error

    @pytest.mark.parametrize(
        "header", ["Basic !!!", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Basic", "Bearer x",
                   "Basic " + base64.b64encode("ingest-service:é".encode()).decode()],
    )  # fmt: skip
    def test_odd_client_credentials_are_refused(self, nobody: httpx.Client, header: str) -> None:
        answer = nobody.post(
            "/v1/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header}
        )

        refusal(answer, 401)

    @pytest.mark.parametrize(
        "content", [b"a=b&a=c", b"grant_type=password&grant_type=password", b"%ff=%ff", b"\xff"]
    )
    def test_a_malformed_form_is_a_bad_request(self, nobody: httpx.Client, content: bytes) -> None:
        refusal(nobody.post("/v1/oauth/token", content=content, headers=FORM), 400)

    def test_wrong_passwords_are_throttled_here_too(self, own_gateway: Started) -> None:
        with own_gateway.client(None) as client:
            answers = [
                self.ask(client, grant_type="password", username="admin", password="no").status_code
                for _ in range(4)
            ]

        assert answers == [400, 400, 400, 429]

    def test_tokens_of_others_and_altered_ones_are_refused(
        self, gateway: Started, nobody: httpx.Client
    ) -> None:
        from joserfc import jwt
        from joserfc.jwk import ECKey, OctKey

        good = self.sign_in(nobody)["access_token"]
        now = int(gateway.clock.now().timestamp())
        claims = {"iss": "wattbook-gateway", "aud": "wattbook", "sub": "admin", "iat": now, "exp": now + 60}

        def signed(**changes: Any) -> str:
            return jwt.encode({"alg": "ES256"}, {**claims, **changes}, gateway.key)

        assert self.bearer(nobody, signed()).status_code == 200
        none = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "none"}, claims)
        )
        public = json.dumps(gateway.key.as_dict(private=False))
        bad = [
            good[:-4] + "AAAA", good.rsplit(".", 1)[0], good + ".x", "x", "a.b.c", "é", "x" * 10_240,
            none + ".",
            signed(aud="other"), signed(iss="other"), signed(exp=now), signed(sub="nobody"), signed(sub=None),
            signed(exp="soon"), signed(iat="x"), signed(sub=["admin"]),
            jwt.encode({"alg": "ES256"}, claims, ECKey.generate_key("P-256")),
            jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(public)),
        ]  # fmt: skip
        for token in bad:
            answer = nobody.get("/v1/me", headers={"Authorization": b"Bearer " + token.encode()})
            refusal(answer, 401)

    def test_a_new_password_ends_what_was_given_out_before(self, own_gateway: Started) -> None:
        with own_gateway.client() as admin, own_gateway.client(None) as client:
            name, password = user_of(admin, "desk")
            tokens = self.ask(client, grant_type="password", username=name, password=password).json()
            assert self.bearer(client, tokens["access_token"]).status_code == 200
            own_gateway.clock.advance(5)

            assert admin.patch(f"/v1/users/{name}", json={"password": "another one"}).status_code == 200

            refusal(self.bearer(client, tokens["access_token"]), 401)
            refusal(self.ask(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"]), 400)

    def test_a_disabled_users_tokens_do_not_count(
        self, gateway: Started, admin: httpx.Client, nobody: httpx.Client
    ) -> None:
        name, password = user_of(admin, "desk")
        tokens = self.ask(nobody, grant_type="password", username=name, password=password).json()
        assert self.bearer(nobody, tokens["access_token"]).status_code == 200

        admin.patch(f"/v1/users/{name}", json={"disabled": True})

        refusal(self.bearer(nobody, tokens["access_token"]), 401)
        refusal(self.ask(nobody, grant_type="refresh_token", refresh_token=tokens["refresh_token"]), 400)

    def test_another_replica_refuses_within_seconds_whom_it_remembered(
        self, own_gateway: Started, tmp_path: Path
    ) -> None:
        changes: list[dict[str, Any]] = [
            {"password": "another one"}, {"roles": []}, {"disabled": True}, {},
        ]  # fmt: skip
        with Started(tmp_path, key=own_gateway.key) as other, own_gateway.client() as admin:
            remembered = []
            for change in changes:
                name, password = user_of(admin, "desk")
                with other.client(None) as client:
                    tokens = self.ask(client, grant_type="password", username=name, password=password).json()
                    assert self.bearer(client, tokens["access_token"]).status_code == 200
                user = other.client(name, password)
                assert user.get("/v1/me").json()["roles"] == ["desk"]
                remembered.append((user, tokens["access_token"]))
                if change:
                    assert admin.patch(f"/v1/users/{name}", json=change).status_code == 200
                else:
                    admin.post("/v1/oauth/revoke", data={"token": tokens["refresh_token"]})

            with other.client(None) as client:
                for _, token in remembered:  # the clock stands still: no memory ends by itself
                    wait_until(
                        lambda token=token: self.bearer(client, token).status_code == 401,
                        timeout_s=10, what="the token is refused",
                    )  # fmt: skip
            answers = [user.get("/v1/me") for user, _ in remembered]

        assert [answer.status_code for answer in answers] == [401, 200, 401, 200]
        assert answers[1].json()["roles"] == []

    def test_programs_that_keep_sessions_are_told_what_ended_them(self, own_gateway: Started) -> None:
        program = ("report-service", REPORT_SECRET)
        with own_gateway.client() as admin, own_gateway.client(None) as client:
            name, password = user_of(admin, "desk")
            form = {"grant_type": "password", "username": name, "password": password}
            tokens = client.post("/v1/oauth/token", data=form, auth=program).json()
            before = client.get("/v1/oauth/revocations", auth=program).json()["version"]

            client.post("/v1/oauth/revoke", data={"token": tokens["refresh_token"]})
            admin.patch(f"/v1/users/{name}", json={"disabled": True})
            told = client.get("/v1/oauth/revocations", params={"after": before}, auth=program).json()

            assert told["version"] == before + 2
            assert [
                (each["user"], each["session_id"], each["session_counter"]) for each in told["revocations"]
            ] == [(name, tokens["session_id"], tokens["session_counter"]), (name, None, 1)]
            for nobody in (None, ("report-service", "no"), ("wattbook", ""), (name, password)):
                refusal(client.get("/v1/oauth/revocations", auth=nobody), 401)
            refusal(client.get("/v1/oauth/revocations", params={"after": -1}, auth=program), 400)

    def test_who_signs_people_in_goes_on_with_what_the_public_client_was_given(
        self, own_gateway: Started
    ) -> None:
        program = ("report-service", REPORT_SECRET)
        form = {"grant_type": "refresh_token"}
        with own_gateway.client(None) as client:
            public = self.sign_in(client)["refresh_token"]
            own = client.post("/v1/oauth/token", data={**form, "refresh_token": public}, auth=program).json()
            stolen = client.post("/v1/oauth/token", data={**form, "refresh_token": own["refresh_token"]})
            again = client.post(
                "/v1/oauth/token", data={**form, "refresh_token": own["refresh_token"]}, auth=program
            )

        assert stolen.json()["error"] == "invalid_grant"  # it is the program's own
        assert again.status_code == 200
