"""Who calls us: over gRPC, and by events."""

from trade_service.api.events import CONFIRMED_TRADES, Confirmations, booked_events
from trade_service.api.rpc import HANDLERS, RULES, TradesServicer

__all__ = ["CONFIRMED_TRADES", "HANDLERS", "RULES", "Confirmations", "TradesServicer", "booked_events"]
