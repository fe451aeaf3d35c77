"""The gateway's answers to a sign-in, put into our words."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs

import httpx
import pytest
from wattbook import telemetry
from wattbook.auth.gateway import Gateway
from wattbook.auth.people import Tokens
from wattbook.auth.revocations import Revocation, Session
from wattbook.clock import FakeClock
from wattbook.errors import TooManyRequests, Unauthenticated, Unavailable

from tests.support.otlp_sink import otlp_sink, recorded
from tests.unit.report_service.fakes import NOW

Answer = Callable[[httpx.Request], httpx.Response]
GIVEN = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 3600}


def gateway(answer: Answer) -> Gateway:
    return Gateway("http://gateway", FakeClock(NOW), transport=httpx.MockTransport(answer))


def sign_in(answer: Answer) -> Tokens:
    return gateway(answer).tokens_for(name="ana", password="pä:ss wörd", address="198.51.100.7")


def test_a_password_is_exchanged_for_tokens() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=GIVEN)

    tokens = sign_in(answer)

    assert tokens == Tokens("a", "r", int(NOW.timestamp()) + 3600)
    assert asked[0].url.path == "/v1/oauth/token"
    assert asked[0].headers["X-Forwarded-For"] == "198.51.100.7"
    assert parse_qs(asked[0].content.decode()) == {
        "grant_type": ["password"],
        "username": ["ana"],
        "password": ["pä:ss wörd"],
        "user_address": ["198.51.100.7"],
    }


def test_somebodys_own_request_is_counted_and_in_their_trace() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(409)

    with otlp_sink() as sink, recorded(sink, service="report-service"), telemetry.entering("page"):
        gateway(answer).sent("POST", "/v1/quarantine/7/replay", tokens=Tokens("a", "r", 0))

    (sent,) = [span for span in sink.spans if span.kind == "client"]
    assert asked[0].headers["traceparent"] == f"00-{sent.trace_id}-{sent.span_id}-01"
    assert asked[0].headers["Authorization"] == "Bearer a"
    assert sent.attributes["url.full"] == "http://gateway:80/v1/quarantine/7/replay"
    (duration,) = sink.latest("report-service", "http.client.request.duration")
    assert (duration.count, duration.attributes["http.response.status_code"]) == (1, 409)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_wrong_password_is_unauthenticated(status: int) -> None:
    with pytest.raises(Unauthenticated):
        sign_in(lambda _: httpx.Response(status, json={"error": "invalid_grant"}))


@pytest.mark.parametrize(("header", "wait_s"), [("30", 30), ("", 60), ("Wed, 21 Oct", 60)])
def test_throttling_says_for_how_long(header: str, wait_s: int) -> None:
    with pytest.raises(TooManyRequests) as refused:
        sign_in(lambda _: httpx.Response(429, headers={"Retry-After": header}))
    assert refused.value.retry_after_s == wait_s


def broken(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused at 10.0.0.1:8080")


def slow(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow")


@pytest.mark.parametrize(
    "answer",
    [
        broken,
        slow,
        lambda _: httpx.Response(500),
        lambda _: httpx.Response(200, content=b"<html>"),
        lambda _: httpx.Response(200, json={}),
        lambda _: httpx.Response(200, json=[]),
        lambda _: httpx.Response(302, headers={"Location": "http://elsewhere/"}),
    ],
)
def test_an_absent_or_odd_gateway_is_unavailable_without_naming_internals(answer: Answer) -> None:
    with pytest.raises(Unavailable) as refused:
        sign_in(answer)
    assert "10.0.0.1" not in refused.value.message


def test_the_person_is_asked_for_with_the_token() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer a"
        return httpx.Response(200, content=json.dumps({"name": "ana", "roles": ["desk"], "trader_id": None}))

    person = gateway(answer).person_of(Tokens("a", "r", 0))

    assert (person.name, person.roles, person.trader_id) == ("ana", ("desk",), None)


def test_it_signs_people_in_as_a_client_with_a_secret_and_knows_their_session() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=GIVEN | {"session_id": "s", "session_counter": 3})

    made = Gateway("http://gateway", FakeClock(NOW), client=("report-service", "secret"),
                   transport=httpx.MockTransport(answer))  # fmt: skip
    tokens = made.tokens_for(name="ana", password="x", address="")

    assert tokens.session == Session("s", 3)
    assert asked[0].headers["Authorization"] == httpx.BasicAuth("report-service", "secret")._auth_header
    assert "user_address" not in parse_qs(asked[0].content.decode())


def test_a_gateway_of_an_older_release_lets_its_public_client_sign_people_in() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "Authorization" in request.headers:
            return httpx.Response(400, json={"error": "unauthorized_client", "message": "no"})
        return httpx.Response(404) if "revocations" in request.url.path else httpx.Response(200, json=GIVEN)

    made = Gateway("http://gateway", FakeClock(NOW), client=("report-service", "secret"),
                   transport=httpx.MockTransport(answer))  # fmt: skip

    assert made.tokens_for(name="ana", password="x", address="198.51.100.7").session is None


@pytest.mark.parametrize("status", [401, 500, 503])
def test_a_gateway_that_tells_no_revocations_is_away(status: int) -> None:
    with pytest.raises(Unavailable, match="what ended sessions"):
        gateway(lambda _: httpx.Response(status)).revocations(0)


def test_revocations_are_read_and_an_older_release_knows_none() -> None:
    told = {"version": 7, "user": "ana", "session_id": None, "session_counter": 2}
    newer = gateway(lambda _: httpx.Response(200, json={"version": 9, "revocations": [told]}))

    assert newer.revocations(6) == (9, [Revocation(7, "ana", None, 2)])
    assert gateway(lambda _: httpx.Response(404)).revocations(0) is None
