"""Stubs generated from the contracts in this folder (``make proto``)."""
