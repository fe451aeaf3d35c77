"""Slow and greedy clients at the gateway's own doors."""

import socket
from pathlib import Path

import httpx
import pytest

from tests.integration.gateway.support import refusal
from tests.support.waiting import wait_until
from tests.unit.gateway.started import Started

TOKEN = b"POST /v1/oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


def test_bodies_that_drip_in_take_nobodys_place(
    own_gateway: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.api.edge.MOST_REQUESTS", 5)
    slow = [socket.create_connection(("127.0.0.1", own_gateway.port)) for _ in range(20)]
    for each in slow:
        each.sendall(TOKEN + b"Content-Length: 50\r\n\r\ng")

    with own_gateway.client() as client:
        for _ in range(10):
            assert client.get("/v1/me").status_code == 200
    for each in slow:
        each.close()


def test_health_is_answered_while_nothing_else_is(
    own_gateway: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.api.edge.MOST_REQUESTS", 0)

    with own_gateway.client() as client:
        refusal(client.get("/v1/me"), 503)
        assert client.get("/healthz").json()["status"] == "ok"
        assert client.get("/readyz").status_code == 200


def test_probes_have_a_door_of_their_own_that_leads_nowhere_else(gateway: Started) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{gateway.probe_port}", trust_env=False) as probe:
        assert probe.get("/healthz").json()["status"] == "ok"
        assert probe.get("/readyz/trade-service").json()["services"] == {"trade-service": "ok"}
        refusal(probe.get("/v1/trades"), 404)


def test_limits_are_settings(tmp_path: Path) -> None:
    with Started(tmp_path, body_timeout_s=0.3) as started:
        connection = socket.create_connection(("127.0.0.1", started.port), timeout=10)
        connection.sendall(TOKEN + b"Content-Length: 50\r\n\r\ng")

        assert b"the body stopped arriving" in connection.recv(4096)
        wait_until(
            lambda: started.gateway.application._running == 0, timeout_s=5, what="its request is forgotten"
        )
