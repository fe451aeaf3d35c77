"""What the exchange does: match, confirm, disturb, write the nightly file."""

from sandbox.exchange.usecases.exchange import Exchange
from sandbox.exchange.usecases.listeners import Listener

__all__ = ["Exchange", "Listener"]
