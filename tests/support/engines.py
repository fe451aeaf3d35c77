"""The engines that stores run on in tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.postgres import PostgresServer

NewStoreUrl = Callable[[str], str]
"""Makes the address of a new, empty store; the name is for people."""

EMBEDDED, PRODUCTION = "sqlite", "postgresql"


def new_store_url(engine: str, folder: Path, server: Callable[[], PostgresServer]) -> NewStoreUrl:
    """How stores are made on an engine; ``server`` is asked only where one is needed."""
    if engine == PRODUCTION:
        return lambda _name: server().new_url()
    return lambda name: f"sqlite:///{folder}/stores/{name}.db"
