"""What the pages ask of the store: on indexes, on both engines, however much there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from meter_service.models import MeterPoint, Reading
from meter_service.store import browse
from meter_service.store.browse import Filters, Place

from tests.support.flow_files import Read, flow_file
from tests.support.meters import one

pytestmark = pytest.mark.usefixtures("store")
READ = Read(nmi="2001985732", serial="S1")
ALL = Filters(all_versions=True)


def scans(query: Callable[[], object]) -> list[str]:
    """The steps of the queries' plans that would look at a whole table."""
    with CaptureQueriesContext(
        connection,
    ) as asked:
        query()
    assert asked.captured_queries
    found: list[str] = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET enable_seqscan = off")  # of a few rows it would always be quicker
        for each in asked.captured_queries:
            plan = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
            cursor.execute(f"{plan} {each['sql']}".replace("%", "%%"))
            steps = [str(row[-1]) for row in cursor.fetchall()]
            found += [step for step in steps if "Seq Scan" in step or step.startswith("SCAN ")]
    return found


def page(_row: Reading) -> object:
    return list(browse.readings(browse.find(["2001985732"]).registers, ALL, most=51))


def page_before(row: Reading) -> object:
    place = Place(row.register_id, row.read_at, row.pk)
    registers = browse.find(["S1"]).registers
    return browse.readings_before(registers, Filters(quality="A"), before=place, most=51)


QUERIES: dict[str, Callable[[Reading], object]] = {
    "an NMI": lambda _: browse.find(["2001985732"]),
    "a serial number": lambda _: browse.find(["S1"]),
    "a list": lambda _: browse.find(["S1", "2001985732", "NOBODY"]),
    "a beginning": lambda _: browse.find(["2001"]),
    "a page": page,
    "the page before": page_before,
    "a file": lambda row: list(browse.every_reading_of_file(Filters(file_id=row.flow_file_id))),
    "a meter point": lambda _: browse.registers_of(MeterPoint.objects.get(nmi="2001985732")),
    "versions": browse.versions_of,
    "the newest": lambda row: browse.newest(row.register, quality="A"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_looks_at_no_whole_table(name: str) -> None:
    assert one(flow_file(READ, READ.but(at="20260101000000", quality="S64"))).counts.stored == 2
    row = Reading.objects.select_related("register").order_by("id")[0]

    assert scans(lambda: QUERIES[name](row)) == []


def test_a_page_of_many_registers_takes_few_queries() -> None:
    reads = [Read(nmi=f"70{number:08d}", serial=f"S{number}") for number in range(100)]
    assert one(flow_file(*reads)).counts.stored == 100
    registers = browse.find(["70"]).registers

    with CaptureQueriesContext(connection) as asked:
        rows = list(browse.readings(registers, Filters(), most=51))

    assert [row.register.meter.serial for row in rows] == [f"S{number}" for number in range(51)]
    assert len(asked) <= 4
