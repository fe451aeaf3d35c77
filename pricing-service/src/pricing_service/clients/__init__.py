"""Whom pricing-service calls: the market data provider, and trade-service for what is traded."""

from pricing_service.clients.provider import MarketData
from pricing_service.clients.trades import traded_periods

__all__ = ["MarketData", "traded_periods"]
