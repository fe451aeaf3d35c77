"""The capacity table of docs/operations.md, from what pods request and what was measured (``make docs``).

``python -m bench --engine production`` writes it anew with its figures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.rest import resources
from bench.results import PRODUCTION, sections

PAGE = Path(__file__).parents[1] / "docs/operations.md"
MADE = re.compile(r"(?<=<!-- made by make docs: capacity -->\n).*?(?=<!-- end -->\n)", re.DOTALL)
HEAD = "| service | at rest | requests | limit | under load, one replica |\n|---|---|---|---|---|"
# By service: what is said, with its figures by section, the beginning of the row, and that of a row below it.
UNDER_LOAD = {
    "gateway": (
        "single bookings {}, p99 {}; a batch {}",
        ("singles", "bookings"), ("singles", "bookings", "p99"), ("batch", "NDJSON batch"),
    ),
    "trade-service": (
        "from RabbitMQ into PostgreSQL {}",
        ("consume", "consumer"),
    ),
    "ingest-service": (
        "heard, booked and reported {}; after an outage of the bus {}",
        ("feed", "60 s at 100,000 trades/min"), ("feed", "catch-up"),
    ),
    "report-service": (
        "whole pages {}, p99 {}; 500 streams of 6 pages have a change within {}",
        ("storm", "the live page", "the whole page"), ("storm", "the live page", "its p99"),
        ("streams", "500 streams of 6 pages"),
    ),
    "pricing-service": ("bound by the provider's limits, not by us",),
}  # fmt: skip


def page() -> str:
    """docs/operations.md with the table as it must be."""
    text = PAGE.read_text(encoding="utf-8")
    if not MADE.search(text):
        raise ValueError(f"{PAGE.name} has no place for the capacity table")
    return MADE.sub(lambda _: table(sections(PRODUCTION), resources()), text)


def write() -> None:
    """Put it there."""
    PAGE.write_text(page(), encoding="utf-8")


def table(measured: Mapping[str, str], pods: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a service."""
    lines = [HEAD]
    for service, (said, *figures) in UNDER_LOAD.items():
        memory, cores = (
            figure(measured, "rest", f"{service}, resident", *below) for below in ((), ("processor",))
        )
        asked, most = pods[service]["requests"], pods[service]["limits"]
        load = said.format(*(figure(measured, *each) for each in figures))
        lines.append(
            f"| {service} | {memory}, {cores} | {asked['cpu']}, {_units(asked['memory'])} "
            f"| {_units(most['memory'])} | {load} |"
        )
    return "\n".join([*lines, ""])


def figure(measured: Mapping[str, str], section: str, row: str, below: str = "") -> str:
    """What the first row of a section says that begins so, or the first such row below it."""
    lines = re.findall(r"(?m)^\| (.*?) \| (.*?) \|", measured.get(section, ""))
    found = ""
    for what, said in lines:
        if what.startswith("&emsp;"):
            if found and below and what.removeprefix("&emsp;").startswith(below):
                return said.strip()
        elif what.startswith(row):
            found = said.strip()
            if not below:
                return found
        elif found:
            break
    return "(not measured)"


def _units(quantity: str) -> str:
    return re.sub(r"([MG]i)$", r" \1B", quantity)


if __name__ == "__main__":
    write()
