"""The feed's settings and its wiring: what is wrong is named before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ingest_service.app import Settings
from ingest_service.clients import public_url
from wattbook.settings import SettingsError, load

NEEDED = {
    "WATTBOOK_INGEST_STORE_URL": "sqlite:///ingest.db",
    "WATTBOOK_INBOX": "inbox",
    "WATTBOOK_INGEST_CLIENT_SECRET": "x",
}
LISTENING = {
    **NEEDED,
    "WATTBOOK_EXCHANGE_URLS": "ws://127.0.0.1:1/a, wss://desk:pass@example.com/feed?key=1",
    "WATTBOOK_BUS_URL": "sqlite:///bus.db",
}


def problems(**changes: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(Settings, {**LISTENING, **changes})
    return caught.value.problems


def test_without_an_exchange_there_is_only_the_drop_folder() -> None:
    assert load(Settings, NEEDED).exchange_urls == ()


def test_any_number_of_listeners_may_be_named() -> None:
    settings = load(Settings, LISTENING)

    assert settings.exchange_urls == ("ws://127.0.0.1:1/a", "wss://desk:pass@example.com/feed?key=1")
    assert settings.inbox == Path("inbox")


@pytest.mark.parametrize("url", ["http://x", "x", "ws://", "ws://h:99999", "ws://[::1"])
def test_an_address_that_is_no_websocket_stops_the_start(url: str) -> None:
    (problem,) = problems(WATTBOOK_EXCHANGE_URLS=url)

    assert problem.startswith("WATTBOOK_EXCHANGE_URLS: ")


def test_listening_needs_a_bus() -> None:
    (problem,) = problems(WATTBOOK_BUS_URL="")

    assert problem.startswith("WATTBOOK_BUS_URL is not set")


@pytest.mark.parametrize(
    "name",
    ["SILENCE_S", "PING_S", "MAX_FRAME_BYTES", "QUEUE_FRAMES", "QUEUE_BYTES", "SPOOL_KEEP_S",
     "SPOOL_KEEP_FRAMES", "TRADES_KEEP_DAYS"],
)  # fmt: skip
def test_a_limit_of_nothing_stops_the_start_and_is_named(name: str) -> None:
    (problem,) = problems(**{f"WATTBOOK_FEED_{name}": "0"})

    assert problem.startswith(f"WATTBOOK_FEED_{name}: 0")


def test_credentials_in_an_address_are_shown_to_nobody() -> None:
    assert public_url("wss://desk:pass@example.com:9/feed?key=1#x") == "wss://example.com:9/feed"
    assert "pass" not in problems(WATTBOOK_EXCHANGE_URLS="http://desk:pass@x")[0]


TWO_NODES = {
    "WATTBOOK_INGEST_PEERS": "ingest-service-0.ingest-service:8092, [::1]:8092",
    "WATTBOOK_TRADE_TARGET": "trade-service:8090",
}


def test_several_nodes_are_named_in_their_order() -> None:
    settings = load(Settings, {**LISTENING, **TWO_NODES, "WATTBOOK_INGEST_NODE": "1"})

    assert settings.peers == ("ingest-service-0.ingest-service:8092", "[::1]:8092")
    assert settings.node == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"WATTBOOK_INGEST_NODE": "2"}, "WATTBOOK_INGEST_NODE: 2 is not from 0 to 1"),
        ({"WATTBOOK_INGEST_NODE": "-1"}, "WATTBOOK_INGEST_NODE: -1"),
        ({"WATTBOOK_INGEST_PEERS": "", "WATTBOOK_INGEST_NODE": "9000"}, "WATTBOOK_INGEST_NODE: 9000"),
        ({"WATTBOOK_INGEST_PEERS": "a:1,b"}, "WATTBOOK_INGEST_PEERS: 'b' is no host:port"),
        ({"WATTBOOK_INGEST_PEERS": "a:1,a:1"}, "WATTBOOK_INGEST_PEERS: a node is named twice"),
        ({"WATTBOOK_TRADE_TARGET": ""}, "WATTBOOK_TRADE_TARGET is not set"),
    ],
)
def test_nodes_that_cannot_be_one_feed_stop_the_start_and_are_named(
    changes: dict[str, str], named: str
) -> None:
    (problem,) = problems(**{**TWO_NODES, **changes})

    assert problem.startswith(named)


def test_a_node_alone_needs_no_book() -> None:
    assert load(Settings, {**LISTENING, "WATTBOOK_INGEST_PEERS": "a:1"}).trade_target == ""
