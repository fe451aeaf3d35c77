"""How a RabbitMQ is named, and which messages a group hears."""

from __future__ import annotations

from pathlib import Path

import pytest
from wattbook.bus import TlsFiles, open_bus
from wattbook.bus.rabbitmq.address import HEARTBEAT_S, PREFETCH, Address
from wattbook.bus.settings import BusSettings
from wattbook.bus.topology import GROUPS, TRADE_SERVICE, ingest_spool, matcher
from wattbook.settings import load


def test_an_address_has_hosts_a_user_and_a_virtual_host() -> None:
    address = Address.of("amqp://tra%40de:p%2Fw@one:5673,two,[::1]:5674,[fe80::2]/desk%2Fa")

    assert address.hosts == (("one", 5673), ("two", 5672), ("::1", 5674), ("fe80::2", 5672))
    assert (address.user, address.password, address.vhost) == ("tra@de", "p/w", "desk/a")
    assert (address.tls, address.heartbeat_s, address.prefetch) == (False, HEARTBEAT_S, PREFETCH)


def test_what_the_address_leaves_out_comes_from_beside_it() -> None:
    files = TlsFiles(ca=Path("ca.pem"), cert=Path("c.pem"), key=Path("k.pem"))

    address = Address.of(
        "amqps://u@host?ca_file=/own.pem&prefetch=7&heartbeat_s=3", password="w", files=files
    )

    assert address.hosts == (("host", 5671),)
    assert (address.password, address.vhost, address.tls) == ("w", "/", True)
    assert address.files == TlsFiles(ca=Path("/own.pem"), cert=Path("c.pem"), key=Path("k.pem"))
    assert (address.prefetch, address.heartbeat_s) == (7, 3)


def test_nobody_reads_a_password_off_an_address_or_settings() -> None:
    settings = load(BusSettings, {"WATTBOOK_BUS_URL": "amqp://u:hush@h/v", "WATTBOOK_BUS_PASSWORD": "hush"})

    assert "hush" not in repr(Address.of("amqp://u:hush@h/v")) + repr(settings)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("amqp://host/v", "names no user"),
        ("amqp://u:hush@/v", "no host"),
        ("amqp://u:hush@host:x/v", "no host"),
        ("amqp://u:hush@one,,two/v", "no host"),
        ("amqp://u:hush@host/v?colour=red", "no option colour"),
        ("amqp://u:hush@host/v?prefetch=0", "prefetch is not a whole number"),
        ("amqp://u:hush@host/v?heartbeat_s=soon", "heartbeat_s is not a whole number"),
    ],
)
def test_an_address_that_is_none_is_refused_without_being_quoted(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        open_bus(url)

    assert "hush" not in str(refused.value)


def test_a_bus_that_is_away_does_not_stop_the_start() -> None:
    open_bus("amqp://u:w@127.0.0.1:9/v", groups=GROUPS).close()


def test_a_certificate_file_that_is_missing_is_said(tmp_path: Path) -> None:
    bus = open_bus(f"amqps://u:w@127.0.0.1:9/v?ca_file={tmp_path}/none.pem")

    with pytest.raises(Exception, match="the certificates cannot be used: No such file"):
        bus.dead_letters(group="g")
    bus.close()


def test_every_event_that_must_be_kept_has_a_group() -> None:
    kept = matcher([type_ for group in GROUPS for type_ in group.types])

    assert [kept(each) for each in ("trade.confirmed", "trade.refused", "trade.booked")] == [True] * 3
    assert not kept("price.updated")
    assert ingest_spool("a1").ordered
    assert not TRADE_SERVICE.ordered
