"""The fake gateway, started and stopped around a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.ingest_service.fakes import FakeGateway


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    gateway = FakeGateway().up()
    yield gateway
    gateway.down()
