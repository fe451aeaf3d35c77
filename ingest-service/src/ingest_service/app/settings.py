"""What ingest-service is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wattbook.bus.settings import BusSettings
from wattbook.db import StoreSettings
from wattbook.service import ServiceSettings
from wattbook.settings import setting

from ingest_service.clients import is_websocket_url, public_url
from ingest_service.domain import MOST_NODES

# host:port; gRPC also lets it be said how the name is looked up: dns://server/host:port.
_TARGET = re.compile(r"(dns://[^\s/,]*/)?([^\s:/,]+|\[[0-9a-fA-F:]+\]):\d{1,5}")


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings, StoreSettings, BusSettings):
    """What the environment says."""

    store_url: str = setting("WATTBOOK_INGEST_STORE_URL", "the spool and the ledger of files", secret=True)
    inbox: Path = setting("WATTBOOK_INBOX", "the drop folder")  # a frozen field
    client_secret: str = setting(
        "WATTBOOK_INGEST_CLIENT_SECRET", "the secret of our OAuth client at the gateway", secret=True
    )
    client_id: str = setting(
        "WATTBOOK_INGEST_CLIENT_ID", "our OAuth client at the gateway", default="ingest-service"
    )
    gateway_url: str = setting(
        "WATTBOOK_GATEWAY_URL", "the gateway, without /v1", default="http://127.0.0.1:8080"
    )
    listen: str = setting("WATTBOOK_INGEST_LISTEN", "gRPC health, host:port", default="127.0.0.1:8092")
    peers: tuple[str, ...] = setting(
        "WATTBOOK_INGEST_PEERS",
        "host:port of every node, in order, comma-separated; unset: one",
        default=(),
    )
    node: int = setting("WATTBOOK_INGEST_NODE", "the number of this node, from 0", default=0)
    trade_target: str = setting(
        "WATTBOOK_TRADE_TARGET", "trade-service, asked for what other nodes heard", default=""
    )
    settle_s: float = setting("WATTBOOK_INGEST_SETTLE_S", "how long a file must stand still, s", default=2.0)
    settle_unknown_s: float = setting(
        "WATTBOOK_INGEST_SETTLE_UNKNOWN_S",
        "the same where nobody can tell who writes to it: another user's file, a network file system, s",
        default=120.0,
    )
    recheck_s: float = setting(
        "WATTBOOK_INGEST_RECHECK_S",
        "how long to look at archived files again, and import those that have grown, s",
        default=21_600.0,
    )
    rescan_s: float = setting(
        "WATTBOOK_INGEST_RESCAN_S", "look at the folder this often even without events, s", default=5.0
    )
    exchange_urls: tuple[str, ...] = setting(
        "WATTBOOK_EXCHANGE_URLS", "ws:// or wss:// addresses, comma-separated; unset: no feed", default=()
    )
    bus_url: str = setting(
        "WATTBOOK_BUS_URL", "the bus, needed for the feed, sqlite:///… or amqp://…", default="", secret=True
    )
    silence_s: float = setting(
        "WATTBOOK_FEED_SILENCE_S", "reconnect after so long without a frame, s", default=60.0
    )
    ping_s: float = setting("WATTBOOK_FEED_PING_S", "ping so often, and wait so long, s", default=5.0)
    most_frame_bytes: int = setting(
        "WATTBOOK_FEED_MAX_FRAME_BYTES",
        "the largest frame; of a larger one the beginning, length and digest are quarantined",
        default=1 << 20,
    )
    allowed_fields: tuple[str, ...] = setting(
        "WATTBOOK_FEED_ALLOWED_FIELDS",
        "fields of a confirmation that may be passed over, comma-separated; what waited for them is replayed",
        default=(),
    )
    heartbeats: tuple[str, ...] = setting(
        "WATTBOOK_FEED_HEARTBEATS",
        "names of messages that are counted and not quarantined, comma-separated",
        default=("heartbeat",),
    )
    queue_frames: int = setting(
        "WATTBOOK_FEED_QUEUE_FRAMES", "frames in memory while the disk takes none", default=100_000
    )
    queue_bytes: int = setting("WATTBOOK_FEED_QUEUE_BYTES", "the same in bytes", default=64 << 20)
    spool_keep_s: float = setting(
        "WATTBOOK_FEED_SPOOL_KEEP_S", "how long frames that are done stay, s", default=86_400.0
    )
    spool_keep_frames: int = setting(
        "WATTBOOK_FEED_SPOOL_KEEP_FRAMES", "how many of them at most", default=2_000_000
    )
    trades_keep_days: int = setting(
        "WATTBOOK_FEED_TRADES_KEEP_DAYS", "days of trades to compare files with", default=40
    )

    def problems(self) -> list[str]:
        """What is wrong with them, a line each."""
        problems = super().problems()
        if not self.gateway_url.startswith(("http://", "https://")):
            problems.append(f"WATTBOOK_GATEWAY_URL: {self.gateway_url!r} is no http address")
        if not 0 <= self.settle_s <= 3600:
            problems.append(f"WATTBOOK_INGEST_SETTLE_S: {self.settle_s} is not between 0 and 3600")
        if not 0 <= self.settle_unknown_s <= 86_400:
            problems.append(
                f"WATTBOOK_INGEST_SETTLE_UNKNOWN_S: {self.settle_unknown_s} is not between 0 and 86400"
            )
        if not 0 <= self.recheck_s <= 30 * 86_400:
            problems.append(f"WATTBOOK_INGEST_RECHECK_S: {self.recheck_s} is not between 0 and 30 days")
        if not 0 < self.rescan_s <= 3600:
            problems.append(f"WATTBOOK_INGEST_RESCAN_S: {self.rescan_s} is not above 0 and at most 3600")
        return [*problems, *self._feed_problems(), *self._node_problems()]

    def _node_problems(self) -> Iterator[str]:
        most = len(self.peers) or MOST_NODES
        if not 0 <= self.node < most:
            yield f"WATTBOOK_INGEST_NODE: {self.node} is not from 0 to {most - 1}"
        for target in self.peers:
            if not _TARGET.fullmatch(target):
                yield f"WATTBOOK_INGEST_PEERS: {target!r} is no host:port"
        if len(set(self.peers)) != len(self.peers) or len(self.peers) > MOST_NODES:
            yield "WATTBOOK_INGEST_PEERS: a node is named twice, or too many are"
        if len(self.peers) > 1 and not self.trade_target:
            yield "WATTBOOK_TRADE_TARGET is not set (it tells what other nodes heard)"

    def _feed_problems(self) -> Iterator[str]:
        for url in self.exchange_urls:
            if not is_websocket_url(url):
                yield f"WATTBOOK_EXCHANGE_URLS: {public_url(url)!r} is no ws:// or wss:// address"
        if self.exchange_urls and not self.bus_url:
            yield "WATTBOOK_BUS_URL is not set (what the exchange confirms goes over the bus)"
        positive = {
            "SILENCE_S": self.silence_s, "PING_S": self.ping_s, "MAX_FRAME_BYTES": self.most_frame_bytes,
            "QUEUE_FRAMES": self.queue_frames, "QUEUE_BYTES": self.queue_bytes,
            "SPOOL_KEEP_S": self.spool_keep_s, "SPOOL_KEEP_FRAMES": self.spool_keep_frames,
            "TRADES_KEEP_DAYS": self.trades_keep_days,
        }  # fmt: skip
        for name, value in positive.items():
            if value <= 0:
                yield f"WATTBOOK_FEED_{name}: {value} is not above 0"
