"""Owns the trades: book, deduplicate, search."""
