"""What a stolen pass is worth at the owners themselves, past the gateway: nothing it was not made for."""

from __future__ import annotations

import datetime as dt
import ipaddress
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from wattbook import rpc
from wattbook.access import Role
from wattbook.errors import Forbidden, Unauthenticated, Unavailable
from wattbook.probe import is_well
from wattbook.tls import Tls
from wattbook_proto import (
    feed_pb2,
    feed_pb2_grpc,
    prices_pb2,
    prices_pb2_grpc,
    reports_pb2,
    reports_pb2_grpc,
    trades_pb2,
    trades_pb2_grpc,
)

from tests.integration.ingest_process import IngestProcess
from tests.integration.pricing_process import PricingProcess, Time
from tests.integration.report_process import DAY, ReportProcess
from tests.integration.trade_process import TradeProcess, stated
from tests.support.waiting import wait_until
from tests.support.walls import KeyRing

pytestmark = pytest.mark.slow  # a process each

TRADE, REPORT, PRICING, INGEST = "trade-service", "report-service", "pricing-service", "ingest-service"
NOWHERE = "http://127.0.0.1:9"
# What a program may read at each owner: what it is asked by, and with.
READS: dict[str, tuple[Callable[[grpc.Channel], Any], str, Any]] = {
    TRADE: (trades_pb2_grpc.TradesStub, "Search", trades_pb2.SearchRequest()),
    REPORT: (reports_pb2_grpc.ReportsStub, "Desk", reports_pb2.DeskRequest(delivery_day=DAY)),
    PRICING: (prices_pb2_grpc.PricesStub, "Status", prices_pb2.StatusRequest()),
    INGEST: (feed_pb2_grpc.FeedStub, "Status", feed_pb2.StatusRequest()),
}
OWNERS = tuple(READS)


class Walls:
    """The four owners behind closed walls, and callers with passes."""

    def __init__(self, folder: Path) -> None:
        self.ring = KeyRing(folder)
        closed = {"WATTBOOK_VERIFY_KEYS_FILE": str(self.ring.public_file), "WATTBOOK_OPEN_WALLS": "false"}
        self.trade = TradeProcess(folder, **closed).start()
        self.report = ReportProcess(
            folder, bus_url=self.trade.bus_url, trade_target=self.trade.target, **closed
        )
        self.pricing = PricingProcess(folder, Time(speed=1), url=NOWHERE, **closed)
        self.ingest = IngestProcess(
            folder, gateway_url=NOWHERE, **closed, WATTBOOK_BUS_URL=self.trade.bus_url
        )
        for process in (self.report, self.pricing, self.ingest):
            process.launch()
        self.targets = {
            TRADE: self.trade.target, REPORT: self.report.target, PRICING: self.pricing.target,
            INGEST: f"127.0.0.1:{self.ingest.port}",
        }  # fmt: skip
        for owner, target in self.targets.items():
            live = f"grpc://{target}/{rpc.LIVE}"
            wait_until(lambda live=live: is_well(live), timeout_s=60, what=f"{owner} answers")

    def read(self, owner: str, pass_: str) -> None:
        """Whatever it answers; raises what it raised."""
        stub, method, request = READS[owner]
        with rpc.channel(self.targets[owner], passes=lambda: pass_) as channel:
            asked = getattr(stub(channel), method)
            if owner == TRADE:
                list(rpc.stream(asked, request))
            else:
                rpc.call(asked, request)

    def book(self, pass_: str, *trades: trades_pb2.TradeToBook, source: int = trades_pb2.REST) -> list[int]:
        with rpc.channel(self.trade.target, passes=lambda: pass_) as channel:
            request = trades_pb2.BookRequest(trades=trades, source=source)
            return list(rpc.call(trades_pb2_grpc.TradesStub(channel).Book, request).results)

    def search(self, pass_: str, trader_id: str = "") -> list[str]:
        with rpc.channel(self.trade.target, passes=lambda: pass_) as channel:
            request = trades_pb2.SearchRequest(trader_id=trader_id)
            pages = rpc.stream(trades_pb2_grpc.TradesStub(channel).Search, request)
            return [trade.id for page in pages for trade in page.trades]

    def positions(self, pass_: str) -> int:
        with rpc.channel(self.trade.target, passes=lambda: pass_) as channel:
            request = trades_pb2.PositionsRequest()
            return len(list(rpc.stream(trades_pb2_grpc.TradesStub(channel).Positions, request)))

    def pnl(self, pass_: str, trader_id: str) -> reports_pb2.PnlReply:
        query = reports_pb2.PnlQuery(trader_id=trader_id, delivery_day=DAY)
        with rpc.channel(self.report.target, passes=lambda: pass_) as channel:
            stub = reports_pb2_grpc.ReportsStub(channel)
            return rpc.call(stub.Pnl, reports_pb2.PnlRequest(queries=[query]))

    def close(self) -> None:
        self.ingest.kill()
        self.pricing.close()
        self.report.close()
        self.trade.close()


@pytest.fixture(scope="module")
def walls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walls]:
    made = Walls(tmp_path_factory.mktemp("walls"))
    yield made
    made.close()


@pytest.mark.parametrize("owner", OWNERS)
def test_an_owner_answers_a_pass_to_it_and_no_other(walls: Walls, owner: str, tmp_path: Path) -> None:
    now_s = time.time()
    bad = {
        "none": "",
        "over": walls.ring.pass_of(Role.ADMIN, audience=owner, lifetime_s=60, now_s=now_s - 120),
        "a stranger's": KeyRing(tmp_path).pass_of(Role.ADMIN, audience=owner),
        "an access token of the REST API": walls.ring.pass_of(Role.ADMIN, audience="wattbook"),
    }
    bad |= {f"to {each}": walls.ring.pass_of(Role.ADMIN, audience=each) for each in OWNERS if each != owner}

    for what, pass_ in bad.items():
        with pytest.raises(Unauthenticated):
            pytest.fail(f"{what}: let in, {walls.read(owner, pass_)}")

    good = walls.ring.pass_of(Role.DESK, audience=owner, may_write=False)
    # No gateway gives this report-service passes, so it has no snapshot: it says so, to those who may ask.
    with pytest.raises(Unavailable) if owner == REPORT else nullcontext():
        walls.read(owner, good)


def test_without_a_pass_nothing_is_answered_but_health(walls: Walls) -> None:
    assert rpc.is_healthy(walls.trade.target)
    with pytest.raises(Unauthenticated):
        walls.book("", stated("t_1"))


def test_a_stolen_read_only_pass_cannot_write(walls: Walls) -> None:
    reading = walls.ring.pass_of(Role.ADMIN, audience=TRADE, may_write=False)

    with pytest.raises(Forbidden, match="reading only"):
        walls.book(reading, stated("t_stolen"))

    assert "t_stolen" not in walls.search(reading)


def test_a_traders_pass_reads_and_books_that_trader_only(walls: Walls) -> None:
    writing = walls.ring.pass_of(Role.TRADER, audience=TRADE, trader_id="trader_1")
    desk = walls.ring.pass_of(Role.DESK, audience=TRADE)
    walls.book(desk, stated("t_other", trader_id="trader_2"))

    walls.book(writing, stated("t_own"))
    with pytest.raises(Forbidden):
        walls.book(writing, stated("t_mine"), stated("t_foreign", trader_id="trader_2"))
    with pytest.raises(Forbidden):
        walls.book(writing, stated("t_file"), source=trades_pb2.FILE)
    with pytest.raises(Forbidden):
        walls.search(writing, "trader_2")
    with pytest.raises(Forbidden):
        walls.positions(writing)

    assert walls.search(writing) == ["t_own"]  # without a name: their own
    assert set(walls.search(desk)) == {"t_own", "t_other"}  # nothing of what was refused


def test_a_traders_pass_reads_no_other_traders_report(walls: Walls) -> None:
    pass_ = walls.ring.pass_of(Role.TRADER, audience=REPORT, trader_id="trader_1")

    with pytest.raises(Forbidden):
        walls.pnl(pass_, "trader_2")
    with pytest.raises(Unavailable):  # no snapshot, as above
        walls.pnl(pass_, "trader_1")


def test_an_owner_does_not_start_without_keys_to_check_passes(tmp_path: Path) -> None:
    trade = TradeProcess(tmp_path, WATTBOOK_OPEN_WALLS="")

    assert trade.launch().wait(20) == 78
    assert "setting: WATTBOOK_VERIFY_KEYS_FILE is not set" in trade.log()


class Authority:
    """A certificate authority of a test, and server certificates by it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
        self.file = folder / "ca.pem"
        made = self._builder(self._name, self._key, days=1)
        self._write(self.file, made.add_extension(x509.BasicConstraints(True, None), True))

    def certify(self, *, days: float) -> dict[str, str]:
        """Settings of a server at 127.0.0.1; ``days`` below zero: over since then."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert, key_file = self._folder / "cert.pem", self._folder / "key.pem"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, TRADE)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        self._write(cert, self._builder(name, key, days=days).add_extension(address, False))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        files = {"CA": self.file, "CERT": cert, "KEY": key_file}
        return {f"WATTBOOK_GRPC_{name}_FILE": str(path) for name, path in files.items()}

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: float
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=10))
            .not_valid_after(now + dt.timedelta(days=days))
        )

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def test_over_tls_only_those_who_know_the_authority_are_understood_and_a_renewed_certificate_is_used(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    trade = TradeProcess(tmp_path, **authority.certify(days=1))
    trade.launch()
    tls = Tls(authority.file)
    try:
        wait_until(lambda: rpc.is_healthy(trade.target, tls=tls), timeout_s=20, what="healthy over TLS")
        assert not rpc.is_healthy(trade.target)  # plain text
        (tmp_path / "other").mkdir()
        assert not rpc.is_healthy(trade.target, tls=Tls(Authority(tmp_path / "other").file))

        authority.certify(days=-1)
        assert not rpc.is_healthy(trade.target, tls=tls), "a certificate that is over was taken"
        authority.certify(days=2)
        wait_until(lambda: rpc.is_healthy(trade.target, tls=tls), timeout_s=20, what="healthy again")
        with rpc.channel(trade.target, tls=tls) as channel:
            request = trades_pb2.BookRequest(trades=[stated("t_tls")], source=trades_pb2.REST)
            assert list(rpc.call(trades_pb2_grpc.TradesStub(channel).Book, request).results) == [
                trades_pb2.ADDED
            ]
    finally:
        trade.close()


def test_certificates_without_an_authority_stop_the_start(tmp_path: Path) -> None:
    files = Authority(tmp_path).certify(days=1)
    del files["WATTBOOK_GRPC_CA_FILE"]
    trade = TradeProcess(tmp_path, **files)

    assert trade.launch().wait(20) == 78
    assert "WATTBOOK_GRPC_CA_FILE" in trade.log()
