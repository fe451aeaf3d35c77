"""Stores by URL: ``sqlite:///…`` or ``postgresql+psycopg://…``; no caller asks which engine it is on.

>>> store = open_store("sqlite:////var/lib/wattbook/trade.db", name="trade")
>>> migrate(store, "trade_service")
>>> with store.write() as connection:
...     connection.execute(...)
"""

from wattbook.db.command import maintain_if_asked
from wattbook.db.hints import on_sqlite
from wattbook.db.migrations import Migration, migrate, prepare
from wattbook.db.repeating import repeated
from wattbook.db.rows import insert_new, insert_rows, rows_by_key
from wattbook.db.settings import StoreSettings
from wattbook.db.store import Store, open_store
from wattbook.db.values import can_be_kept, in_parameter, in_values

__all__ = [
    "Migration",
    "Store",
    "StoreSettings",
    "can_be_kept",
    "in_parameter",
    "in_values",
    "insert_new",
    "insert_rows",
    "maintain_if_asked",
    "migrate",
    "on_sqlite",
    "open_store",
    "prepare",
    "repeated",
    "rows_by_key",
]
