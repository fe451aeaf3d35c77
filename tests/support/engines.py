"""The engines that stores run on in tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.support.postgres import Lender

NewStoreUrl = Callable[[str], str]
"""Makes the address of a new, empty store; the name is for people."""

EMBEDDED, PRODUCTION = "sqlite", "postgresql"


def chosen() -> str:
    """What tests run on that do not choose: WATTBOOK_TEST_ENGINE=production is PostgreSQL."""
    return PRODUCTION if os.environ.get("WATTBOOK_TEST_ENGINE") == "production" else EMBEDDED


def new_store_url(engine: str, folder: Path, lender: Callable[[], Lender]) -> NewStoreUrl:
    """How stores are made on an engine; ``lender`` is asked only where one is needed."""
    if engine == PRODUCTION:
        return lambda _name: lender().new_url()
    return lambda name: f"sqlite:///{folder}/stores/{name}.db"
