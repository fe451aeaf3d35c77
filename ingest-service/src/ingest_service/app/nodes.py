"""Several nodes that are one feed, wired: the others, and the book that has what they heard."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from wattbook import rpc
from wattbook.tls import Tls
from wattbook.walls import callers_pass

from ingest_service.app.settings import Settings
from ingest_service.clients import Book, Peer
from ingest_service.store import FeedDays
from ingest_service.usecases import AllNodes, HeardElsewhere, Own


@dataclass(frozen=True, slots=True)
class Nodes:
    """``elsewhere`` is None where this node is the only one."""

    all: AllNodes
    elsewhere: HeardElsewhere | None
    channels: list[grpc.Channel]

    def close(self) -> None:
        """Ask nobody any more."""
        self.all.close()
        for channel in self.channels:
            channel.close()


def build_nodes(settings: Settings, own: Own, days: FeedDays, *, askers: int) -> Nodes:
    """All nodes of the settings, this one answering by ``own``; ``askers`` may ask the others at once.

    Raises:
        ValueError: the files of TLS cannot be used.
    """
    tls = Tls.of(settings)
    targets = {node: target for node, target in enumerate(settings.peers) if node != settings.node}
    # Peers are asked with the caller's own pass: what somebody may see of one node they may of another.
    channels = {node: rpc.channel(target, tls=tls, passes=callers_pass) for node, target in targets.items()}
    peers = [Peer(node, targets[node], channel) for node, channel in channels.items()]
    nodes = AllNodes(own, peers, askers=askers)
    if not peers:
        return Nodes(nodes, None, [])
    book = rpc.channel_to(
        "trade-service", settings.trade_target, settings,
        caller=settings.client_id, gateway_url=settings.gateway_url, secret=settings.client_secret,
    )  # fmt: skip
    elsewhere = HeardElsewhere(book=Book(book), days=days)
    return Nodes(nodes, elsewhere, [*channels.values(), book])
