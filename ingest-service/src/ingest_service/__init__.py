"""Brings the outside in: the exchange's nightly files."""
