"""Whom cash-service calls: the bank, in either of its dialects."""
