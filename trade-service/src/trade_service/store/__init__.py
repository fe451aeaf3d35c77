"""What trade-service remembers: the book, its counter, and the events on their way out."""

from trade_service.store.book import Booking, Entries, TradeStore

__all__ = ["Booking", "Entries", "TradeStore"]
