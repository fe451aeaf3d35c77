"""What pricing-service remembers: prices, what was spent of the budget, who polls, what is wanted."""

from pricing_service.store.prices import Facts, Known, Note, PriceStore
from pricing_service.store.wishes import Wishes

__all__ = ["Facts", "Known", "Note", "PriceStore", "Wishes"]
