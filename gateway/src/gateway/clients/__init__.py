"""The owners behind the gateway, over gRPC, each call with a deadline."""

from gateway.clients.cash import CashClient
from gateway.clients.feed import FeedClient
from gateway.clients.meters import MetersClient
from gateway.clients.prices import PricesClient
from gateway.clients.reports import PnlAsk, ReportsClient
from gateway.clients.trades import Booking, TradesClient, new_request, stated

__all__ = [
    "Booking",
    "CashClient",
    "FeedClient",
    "MetersClient",
    "PnlAsk",
    "PricesClient",
    "ReportsClient",
    "TradesClient",
    "new_request",
    "stated",
]
