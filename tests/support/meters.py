"""A store of meter-service for a test, in this process, and what it holds in words of the domain."""

from __future__ import annotations

import functools
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meter_service.settings")
import django

django.setup()

from django.db import connections  # noqa: E402
from meter_service.domain.files import Outcome  # noqa: E402
from meter_service.models import FlowFile, Reading, ReadingSource, ServiceOrder  # noqa: E402
from meter_service.settings import CONFIGURED, database_of  # noqa: E402
from meter_service.store.connection import prepare  # noqa: E402
from meter_service.usecases import Sender, import_file, withdraw  # noqa: E402
from wattbook import sqlite  # noqa: E402
from wattbook.clock import FakeClock  # noqa: E402

CLOCK = FakeClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
SENDER = Sender("tests", "command")


def use(url: str) -> None:
    """Let Django's connection be to that store, for this process."""
    close()
    connections.settings["default"] = connections.configure_settings(
        {"default": database_of(CONFIGURED, url)}
    )["default"]
    del connections["default"]


def close() -> None:
    """Let go of the store."""
    if hasattr(connections._connections, "default"):
        connections["default"].close()


@contextmanager
def store(url: str) -> Iterator[str]:
    """The store at ``url``, at the newest schema."""
    if url.startswith(sqlite.PREFIX):
        path = Path(url.removeprefix(sqlite.PREFIX))
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_migrated(), path)
    use(url)
    try:
        prepare(migrate=not url.startswith(sqlite.PREFIX))
        yield url
    finally:
        close()


@functools.cache
def _migrated() -> Path:
    """An empty store on SQLite; to migrate one takes as long as many tests."""
    path = Path(tempfile.mkdtemp(prefix="wattbook-meters-")) / "meter.db"
    use(f"{sqlite.PREFIX}{path}")
    prepare(migrate=True)
    close()
    return path


def imported(content: bytes, *, name: str = "NEM13.csv") -> list[Outcome]:
    """What becomes of a file or of an archive's members."""
    return list(import_file(io.BytesIO(content), name=name, sender=SENDER, clock=CLOCK))


def one(content: bytes, *, name: str = "NEM13.csv") -> Outcome:
    """What becomes of a file."""
    (outcome,) = imported(content, name=name)
    return outcome


def withdrawn(sha256: str) -> None:
    """Withdraw the imported file of that content."""
    file = FlowFile.objects.get(sha256=sha256, state="imported")
    withdraw(file.pk, by="tests", reason="wrong", clock=CLOCK)


def state() -> set[tuple[Any, ...]]:
    """All that is stored of readings, without ids: versions, which is current, who holds them, orders."""
    names = {file.pk: file.sha256 for file in FlowFile.objects.all()}
    left_out = {"id", "register_id", "flow_file_id"}
    columns = [field.attname for field in Reading._meta.fields if field.attname not in left_out]
    found = set()
    for reading in Reading.objects.select_related("register__meter__meter_point"):
        register = reading.register
        holders = {(names[reading.flow_file_id], reading.line)} | {
            (names[file], line)
            for file, line in ReadingSource.objects.filter(reading=reading).values_list(
                "flow_file_id", "line"
            )
        }
        orders = ServiceOrder.objects.filter(reading=reading).order_by("number")
        found.add((
            register.meter.meter_point.nmi, register.meter.serial, register.register_id, register.suffix,
            *(getattr(reading, column) for column in columns),
            names[reading.flow_file_id], frozenset(holders),
            tuple(orders.values_list("previous_code", "previous_order", "current_code", "current_order")),
        ))  # fmt: skip
    return found


def orphans() -> int:
    """Rows without the parents that no foreign key makes sure of."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM reading r LEFT JOIN register g ON g.id = r.register_id "
            "LEFT JOIN flow_file f ON f.id = r.flow_file_id WHERE g.id IS NULL OR f.id IS NULL)"
            " + (SELECT count(*) FROM reading_source s LEFT JOIN reading r ON r.id = s.reading_id "
            "LEFT JOIN flow_file f ON f.id = s.flow_file_id WHERE r.id IS NULL OR f.id IS NULL)"
            " + (SELECT count(*) FROM service_order o LEFT JOIN reading r ON r.id = o.reading_id "
            "WHERE r.id IS NULL)"
        )
        return int(cursor.fetchone()[0])
