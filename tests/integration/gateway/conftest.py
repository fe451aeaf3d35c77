"""A really started gateway, and connections to it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.gateway.started import Started


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with Started(tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[Started]:
    """One that nobody else uses."""
    with Started(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def admin(gateway: Started) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture
def nobody(gateway: Started) -> Iterator[httpx.Client]:
    with gateway.client(None) as client:
        yield client
