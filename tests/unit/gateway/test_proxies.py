"""Whom a request is from, behind proxies."""

from __future__ import annotations

import pytest
from gateway.app import Settings
from gateway.domain.proxies import TrustedProxies
from wattbook.settings import SettingsError, load

TRUSTED = ("10.0.0.0/8", "192.168.1.1", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.2.2.2", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),  # who called wrote the first one
        ("203.0.113.9", "1.1.1.1", "203.0.113.9"),  # no proxy of ours
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("fd00::1", "2001:DB8::1", "2001:db8::1"),
        ("a socket", "1.1.1.1", "a socket"),
    ],
)
def test_the_header_is_believed_as_far_as_trusted_proxies_wrote_it(
    peer: str, forwarded: str, client: str
) -> None:
    assert TrustedProxies(TRUSTED).client_of(peer, forwarded) == client


def test_nobody_is_believed_unless_told() -> None:
    assert TrustedProxies().client_of("127.0.0.1", "1.1.1.1") == "127.0.0.1"


def test_what_is_no_network_stops_the_start() -> None:
    complete = {"WATTBOOK_GATEWAY_STORE_URL": "sqlite:///x", "WATTBOOK_SIGNING_KEY_FILE": "key.pem"}

    with pytest.raises(SettingsError, match="WATTBOOK_TRUSTED_PROXIES"):
        load(Settings, {**complete, "WATTBOOK_TRUSTED_PROXIES": "10.0.0.0/8, the proxy"})
