"""The gRPC interface and the events: ``cash.proto`` in our own words and back."""

from cash_service.api.events import cash_event
from cash_service.api.rpc import RULES, CashServicer

__all__ = ["RULES", "CashServicer", "cash_event"]
