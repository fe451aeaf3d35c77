"""Stores by URL: ``sqlite:///…`` today; no caller asks which engine it is on.

>>> store = open_store("sqlite:////var/lib/wattbook/trade.db", name="trade")
>>> migrate(store, "trade_service")
>>> with store.write() as connection:
...     connection.execute(...)
"""

from wattbook.db.migrations import migrate
from wattbook.db.rows import insert_rows
from wattbook.db.store import Store, open_store
from wattbook.db.values import in_values

__all__ = ["Store", "in_values", "insert_rows", "migrate", "open_store"]
