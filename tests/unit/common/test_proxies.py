"""Whom a request is from, behind proxies."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from wattbook.proxies import ProxySettings, TrustedProxies
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


@dataclass(frozen=True)
class Settings(ProxySettings):
    """A service's, whose own problems are these."""

    def __post_init__(self) -> None:
        if problems := self.proxy_problems():
            raise SettingsError(problems)


def test_what_is_no_network_stops_the_start() -> None:
    assert load(Settings, {"WATTBOOK_TRUSTED_PROXIES": "10.0.0.7,"}).proxies().trusts("10.0.0.7")
    with pytest.raises(SettingsError, match="WATTBOOK_TRUSTED_PROXIES"):
        load(Settings, {"WATTBOOK_TRUSTED_PROXIES": "10.0.0.0/8, the proxy"})
