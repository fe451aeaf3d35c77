"""Owns the reference prices and the provider's request budget."""
