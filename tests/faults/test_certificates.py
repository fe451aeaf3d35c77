"""Expired certificates of an owner, a database and a bus: refused, named, and over with the next one.

No process of ours starts again: a renewed certificate counts from the next connection on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import ECKey
from wattbook.errors import Unavailable

from tests.integration.pricing_process import Process
from tests.integration.trade_process import ADDED, Caller, Listener, TradeProcess, stated
from tests.support import engines, rabbitmq
from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.trades import trade
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.servers]
PASSWORD = "of this test only"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


class Gateway(Process):
    """``python -m gateway.app`` in front of one owner, whom it knows by an authority."""

    def __init__(self, folder: Path, *, trade_target: str, authority: Authority) -> None:
        key = folder / "key.pem"
        key.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
        self.url = f"http://127.0.0.1:{free_port()}"
        environment = {
            "WATTBOOK_GATEWAY_LISTEN": self.url.removeprefix("http://"),
            "WATTBOOK_GATEWAY_STORE_URL": engines.store_url(folder, "gateway"),
            "WATTBOOK_SIGNING_KEY_FILE": str(key),
            "WATTBOOK_ADMIN_PASSWORD": PASSWORD,
            "WATTBOOK_TRADE_TARGET": trade_target,
            "WATTBOOK_GRPC_CA_FILE": str(authority.file),
        }
        super().__init__("gateway.app", folder / "gateway.log", environment)

    def status(self, path: str) -> int:
        with httpx.Client(trust_env=False, timeout=10) as http:
            return http.get(f"{self.url}{path}").status_code


def said(process: Process | TradeProcess, words: str) -> list[str]:
    return [line for line in process.log().splitlines() if words in line]


def test_an_owner_is_refused_and_named_until_it_has_a_new_one(tmp_path: Path, authority: Authority) -> None:
    expired = authority.certificate("trade-service", "127.0.0.1", days=-1)
    files = {"CA": authority.file, "CERT": expired.cert, "KEY": expired.key}
    owner = TradeProcess(
        tmp_path, **{f"WATTBOOK_GRPC_{name}_FILE": str(path) for name, path in files.items()}
    )
    gateway = Gateway(tmp_path, trade_target=owner.target, authority=authority)
    started = [owner.launch(), gateway.launch()]
    try:
        wait_until(lambda: gateway.status("/healthz") == 200, timeout_s=30, what="the gateway lives")
        wait_until(lambda: said(owner, "listening"), timeout_s=30, what="the owner listens")
        assert gateway.status("/readyz/trade-service") == 503
        assert said(gateway, "certificate has expired"), gateway.log()
        with Client(gateway.url, "admin", PASSWORD) as admin:
            assert admin.book(trade()).status_code == 503

            authority.certificate("trade-service", "127.0.0.1", days=10)

            wait_until(lambda: admin.book(trade()).status_code == 200, timeout_s=40, what="it is booked")
        assert gateway.status("/readyz/trade-service") == 200
        assert [process.poll() for process in started] == [None, None]
    finally:
        gateway.close()
        owner.close()


@pytest.fixture
def server(authority: Authority) -> Iterator[PostgresServer]:
    with PostgresServer(tls=authority.certificate("postgres", "127.0.0.1")).running() as started:
        yield started


def test_a_database_is_refused_and_named_until_it_has_a_new_one(
    server: PostgresServer, authority: Authority, tmp_path: Path
) -> None:
    url = f"{server.url(server.take())}?sslmode=verify-full&sslrootcert={authority.file}"
    service = TradeProcess(tmp_path, WATTBOOK_TRADE_STORE_URL=url).start()
    other = TradeProcess(tmp_path, WATTBOOK_TRADE_STORE_URL=url)
    caller = Caller(service.target)
    try:
        assert caller.results(stated("before")) == [ADDED]
        server.renew_certificate(authority.certificate("postgres", "127.0.0.1", days=-1))

        def refusal() -> str:
            server.hang_up()
            with pytest.raises(Unavailable) as caught:
                caller.results(stated("meanwhile"))
            return caught.value.message

        told = wait_until(refusal, timeout_s=30, what="it is refused")
        assert told == "the store cannot write now: its server's certificate is not accepted; try again"

        other.log_path = tmp_path / "other.log"
        other.launch()  # who starts now waits, and says for what in one line
        (line,) = wait_until(lambda: said(other, "not ready"), timeout_s=30, what="it says that it waits")
        assert "certificate verify failed; waiting" in line

        server.renew_certificate(authority.certificate("postgres", "127.0.0.1", days=10))

        other.wait_ready()
        wait_until(lambda: caller.results(stated("after")), timeout_s=30, what="it is booked")
        assert caller.ids() == ["before", "after"]
        assert server.password not in service.log() + other.log()
    finally:
        caller.close()
        service.close()
        other.close()


@pytest.fixture
def broker(authority: Authority) -> Iterator[rabbitmq.Server]:
    with rabbitmq.running(tls=authority) as started:
        yield started


@pytest.mark.servers
def test_a_bus_is_refused_and_named_until_it_has_a_new_one(
    broker: rabbitmq.Server, authority: Authority, tmp_path: Path
) -> None:
    plain = broker.url(broker.vhost())
    url = plain.replace("amqp:", "amqps:").replace(f":{broker.port}/", f":{broker.tls_port}/")
    listener = Listener(plain)
    service = TradeProcess(
        tmp_path, WATTBOOK_BUS_URL=url, WATTBOOK_BUS_CA_FILE=str(authority.file)
    ).start()  # fmt: skip
    caller = Caller(service.target)
    try:
        assert caller.results(stated("before")) == [ADDED]
        listener.hear_until(1)
        listener.close()
        broker.renew_certificate(days=-1)

        def refused() -> list[str]:
            broker.hang_up()
            return said(service, "its certificate is not accepted: certificate has expired")

        wait_until(refused, timeout_s=40, what="it is refused and named")
        assert caller.results(stated("meanwhile")) == [ADDED]  # the outbox keeps it

        broker.renew_certificate(days=10)

        again = Listener(plain)
        again.heard = listener.heard
        assert again.hear_until(2)[2].id == "meanwhile"
        again.close()
        assert broker.password not in service.log()
    finally:
        caller.close()
        service.close()
