"""The owners of trades and reports, over gRPC, each call with a deadline."""

from gateway.clients.reports import PnlAsk, ReportsClient
from gateway.clients.trades import Booking, TradesClient, new_request, stated

__all__ = ["Booking", "PnlAsk", "ReportsClient", "TradesClient", "new_request", "stated"]
