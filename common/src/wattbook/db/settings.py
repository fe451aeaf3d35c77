"""The settings that every service with a store has in common."""

from __future__ import annotations

from dataclasses import dataclass

from wattbook.settings import setting


# No slots: Python lets a class inherit slots from one base only.
@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """How to use a store; the settings of a service inherit from it. SQLite takes only ``migrate``."""

    store_migrate: bool = setting(
        "WATTBOOK_STORE_MIGRATE", "change the schema at start; false: wait until a job has", default=True
    )
    store_pool_size: int = setting(
        "WATTBOOK_STORE_POOL_SIZE", "connections of a process that read at once", default=10
    )
    store_pool_timeout_s: float = setting(
        "WATTBOOK_STORE_POOL_TIMEOUT_S", "how long to wait for a connection or a turn, s", default=10.0
    )
    store_statement_timeout_s: float = setting(
        "WATTBOOK_STORE_STATEMENT_TIMEOUT_S", "how long one statement may take, s", default=15.0
    )
    store_lock_timeout_s: float = setting(
        "WATTBOOK_STORE_LOCK_TIMEOUT_S", "how long to wait for a lock of another process, s", default=5.0
    )
    store_idle_timeout_s: float = setting(
        "WATTBOOK_STORE_IDLE_TIMEOUT_S", "how long a transaction may do nothing, s", default=60.0
    )


def check(settings: StoreSettings) -> None:
    """Refuse limits that are none.

    Raises:
        ValueError: names the variable.
    """
    positive = {
        "POOL_SIZE": settings.store_pool_size,
        "POOL_TIMEOUT_S": settings.store_pool_timeout_s,
        "STATEMENT_TIMEOUT_S": settings.store_statement_timeout_s,
        "LOCK_TIMEOUT_S": settings.store_lock_timeout_s,
        "IDLE_TIMEOUT_S": settings.store_idle_timeout_s,
    }
    for name, value in positive.items():
        if not 0 < value <= 86_400:
            raise ValueError(f"WATTBOOK_STORE_{name}: {value:g} is not above 0 and at most 86400")
