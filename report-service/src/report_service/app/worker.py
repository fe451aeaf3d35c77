"""The worker process: read model, feed, gRPC door and pages, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from wattbook import rpc
from wattbook.bus import Bus, open_bus
from wattbook.clock import SystemClock
from wattbook.process import shut_down
from wattbook_proto.reports_pb2_grpc import add_ReportsServicer_to_server

from report_service.api.feed import TOPIC, Feed
from report_service.api.rpc import Reports
from report_service.app import Settings
from report_service.clients.trades import TradeService
from report_service.usecases.follow import Follower
from report_service.usecases.model import ReadModel


class Worker:
    """What runs in the worker process."""

    def __init__(
        self, *, bus: Bus, channel: grpc.Channel, feed: Feed, server: rpc.Server, wsgi: Callable[..., Any]
    ) -> None:
        """Hold the parts; nothing runs until :meth:`start`."""
        self._bus = bus
        self._channel = channel
        self._feed = feed
        self._server = server
        self.wsgi = wsgi

    def start(self) -> None:
        """Open the gRPC door and follow the book."""
        self._server.start()
        self._feed.start()

    def stop(self) -> None:
        """Stop taking, finish what was taken, let go."""
        shut_down(self._server.stop, self._feed.stop, self._channel.close, self._bus.close)


def build(settings: Settings) -> Worker:
    """Put the worker together.

    Raises:
        WattbookError: the bus cannot be opened.
    """
    clock = SystemClock()
    bus = open_bus(settings.bus_url)
    channel = rpc.channel(settings.trade_target)
    model = ReadModel(clock)
    server = rpc.Server(settings.listen, workers=8)
    server.register(add_ReportsServicer_to_server, Reports(model))
    model.on_ready(server.set_ready)
    follower = Follower(model, TradeService(channel), clock)
    feed = Feed(lambda: bus.subscribe((TOPIC,), group=None), follower, model)

    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    return Worker(bus=bus, channel=channel, feed=feed, server=server, wsgi=wsgi)
