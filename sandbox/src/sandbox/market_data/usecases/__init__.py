"""What the provider does: publish, answer, enforce its limits."""

from sandbox.market_data.usecases.provider import Answer, Provider, ProviderOptions

__all__ = ["Answer", "Provider", "ProviderOptions"]
