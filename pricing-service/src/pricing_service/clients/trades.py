"""trade-service, owner of the book."""

from __future__ import annotations

from typing import Any

import grpc
from wattbook import rpc
from wattbook_proto import trades_pb2, trades_pb2_grpc

SNAPSHOT_TIMEOUT_S = 60.0


def traded_periods(channel: grpc.Channel) -> set[tuple[str, int]]:
    """Area and start (seconds since 1970-01-01 UTC) of every period that was ever traded.

    Raises:
        Unavailable: not now.
    """
    stub: Any = trades_pb2_grpc.TradesStub(channel)  # type: ignore[no-untyped-call]
    pages = rpc.stream(stub.Positions, trades_pb2.PositionsRequest(), timeout_s=SNAPSHOT_TIMEOUT_S)
    return {(position.area, position.delivery_start_s) for page in pages for position in page.positions}
