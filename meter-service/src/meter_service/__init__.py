"""Meter points, their registers and readings, and the flow files that brought them."""
