"""Files of the generator, imported: each edge case ends as it says, and a plain reader finds the same."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from meter_service.models import Meter, MeterPoint, Reading, Register
from sandbox.flow_files.cases import CASES
from sandbox.flow_files.domain import Plan, daily_files

from tests.support.meters import imported
from tests.support.nem13 import read_plainly

pytestmark = pytest.mark.usefixtures("store")


def test_each_edge_case_becomes_what_it_says() -> None:
    made = {name: make() for name, make in CASES.items()}

    found = {}
    for name, case in made.items():
        outcomes = imported(case.content, name=f"{name}.{case.extension}")
        kept = [each for each in outcomes if each.result != "left alone"]
        warnings = {kind for each in kept for kind in each.findings.warnings if not each.findings.errors}
        found[name] = ({str(each.result) for each in kept}, warnings)

    assert found == {name: ({case.becomes}, {case.warning} - {""}) for name, case in made.items()}


def test_a_plain_reader_agrees_on_counts_sums_firsts_and_lasts() -> None:
    files = {
        name: "".join(f"{line}\r\n" for line in lines).encode()
        for name, lines in daily_files(Plan(200, 40, 7))
    }
    plainly = read_plainly(files.values())

    counts = [imported(content, name=name)[0].counts for name, content in files.items()]

    assert sum(count.records for count in counts) == plainly.readings
    assert (MeterPoint.objects.count(), Meter.objects.count()) == (plainly.nmis, plainly.meters)
    assert Register.objects.count() == plainly.registers
    stored = Reading.objects.order_by("id")
    assert stored.count() == plainly.readings
    assert Decimal(sum(stored.values_list("quantity", flat=True))) / 1_000_000 == plainly.quantity
    for reading, (value, at) in ((stored.first(), plainly.first), (stored.last(), plainly.last)):
        assert (Decimal(reading.value_text), reading.value, reading.read_at) == (value, value * 1000, at)
    keys = set(stored.values_list("register_id", "read_at"))
    assert set(stored.filter(is_current=True).values_list("register_id", "read_at")) == keys
    assert stored.filter(is_current=True).count() == len(keys) < plainly.readings


@pytest.mark.skipif("WATTBOOK_FLOW_FILES" not in os.environ, reason="no folder of real files is named")
def test_real_files_are_read_as_their_facts_say() -> None:
    """``facts.json`` there says of each name how many readings, and the sum of Quantity, as a text."""
    folder = Path(os.environ["WATTBOOK_FLOW_FILES"])
    for name, facts in json.loads((folder / "facts.json").read_text()).items():
        content = (folder / name).read_bytes()
        plainly = read_plainly([content])
        (outcome,) = imported(content, name=name)
        assert outcome.counts.records == plainly.readings == facts["readings"], name
        assert plainly.quantity == Decimal(facts["quantity"]), name
