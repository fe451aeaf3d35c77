"""Secrets are changed as docs/operations.md says, while the desk runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from joserfc.jwk import ECKey
from wattbook import rpc
from wattbook.access import Principal, Role
from wattbook.auth.tokens import write_token
from wattbook.errors import Unauthenticated
from wattbook_proto import trades_pb2, trades_pb2_grpc

from deploy.checks.test_backup import PASSWORDS, ROLES, command
from tests.support.desk import Desk
from tests.support.postgres import PostgresServer
from tests.support.trades import trade
from tests.support.waiting import wait_until

KEYS = Path(__file__).parents[1] / "compose/keys.py"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    try:
        made.launch()
        made.wait_ready(timeout_s=150)
        yield made
    finally:
        made.kill_all()


def keys(what: str, folder: Path) -> None:
    subprocess.run([sys.executable, KEYS, folder, folder, what], check=True)


def opens(desk: Desk, pass_: str) -> bool:
    """Whether trade-service itself, past the gateway, lets in who has this pass."""
    with rpc.channel(f"127.0.0.1:{desk.port + 10}", passes=lambda: pass_) as channel:
        try:
            list(rpc.stream(trades_pb2_grpc.TradesStub(channel).Search, trades_pb2.SearchRequest()))
        except Unauthenticated:
            return False
        return True


@pytest.mark.timeout(400)
def test_a_new_signing_key_needs_a_new_gateway_and_the_old_one_opens_nothing_once_it_is_retired(
    desk: Desk,
) -> None:
    secrets = desk.data / "secrets"
    before, owner = (secrets / "signing-key.pem").read_bytes(), desk.process_of("trade-service")
    with desk.client() as admin:
        admin.added(trade())

        keys("--rotate", secrets)
        admin.added(trade())  # by the old key, which is still known
        desk.wait_restarted("gateway", desk.kill("gateway"), timeout_s=150)
        admin.added(trade())

    assert (secrets / "signing-key.pem").read_bytes() != before
    assert (secrets / "verify-keys.pem").read_text().count("BEGIN PUBLIC KEY") == 2
    thief = Principal("thief", frozenset({Role.ADMIN}))
    stolen = write_token(ECKey.import_key(before), thief, audience="trade-service", lifetime_s=3600)
    assert opens(desk, stolen)
    keys("--retire", secrets)
    wait_until(lambda: not opens(desk, stolen), timeout_s=30, what="the old key is not trusted any more")
    with desk.client() as admin:
        admin.added(trade())
    assert owner == desk.process_of("trade-service")


def test_running_the_roles_again_changes_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def signs_in(password: str) -> bool:
        try:
            server.connect("wattbook_trade", user="wattbook_trade", password=password).close()
        except psycopg.OperationalError:
            return False
        return True

    with PostgresServer().running() as server:
        for word in ("first", "second"):
            monkeypatch.setitem(PASSWORDS, "WATTBOOK_TRADE_APP_PASSWORD", word)
            done = command(server, "psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", ROLES)
            assert done.returncode == 0, done.stderr

        assert (signs_in("second"), signs_in("first")) == (True, False)
