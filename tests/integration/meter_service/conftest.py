"""A store of meter-service on each engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import meters
from tests.support.engines import NewStoreUrl


@pytest.fixture
def store(new_store_url: NewStoreUrl) -> Iterator[str]:
    """Its address; empty, at the newest schema, and what Django is connected to."""
    with meters.store(new_store_url("meter")) as url:
        yield url
