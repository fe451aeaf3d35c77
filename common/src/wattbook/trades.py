"""What a trade has, as the trades API's contract and the exchange's nightly file name it."""

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
