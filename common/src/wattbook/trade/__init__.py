"""A trade as its sender states it: one vocabulary, one validation, one reader for each form it comes in."""

TRADE_FIELDS = (
    "id",
    "price",
    "quantity",
    "direction",
    "delivery_day",
    "delivery_hour",
    "trader_id",
    "execution_time",
)
"""In the order of the nightly file's columns; what each means and its units: docs/domain.md."""
