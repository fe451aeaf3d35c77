"""The list of metrics: what others (the runbook, dashboards, alerts) may rely on."""

import re
from pathlib import Path

import pytest
from wattbook.telemetry.catalogue import ALL, BY_NAME, CATALOGUE, Metric

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
CONVENTIONS = ("http.", "rpc.", "messaging.", "process.", "db.")


def row_of(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.attributes)
    return f"| `{metric.name}` | {metric.unit} | {metric.kind} | {metric.meaning} | {labels} |"


def test_names_are_unique_and_either_conventional_or_ours() -> None:
    assert len(BY_NAME) == len(CATALOGUE) >= 30
    for metric in CATALOGUE:
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", metric.name)
        assert metric.name.startswith((*CONVENTIONS, "wattbook."))


def test_units_are_ucum_and_every_metric_is_somebodys() -> None:
    for metric in CATALOGUE:
        assert metric.unit in {"s", "By"} or re.fullmatch(r"\{[a-z]+\}", metric.unit), metric
        assert set() < set(metric.services) <= set(ALL), metric
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("wattbook.trade.bookings", ("wattbook_trade_bookings_total",)),
        ("wattbook.feed.last_frame.age", ("wattbook_feed_last_frame_age_seconds",)),
        ("process.cpu.time", ("process_cpu_time_seconds_total",)),
        ("process.memory.usage", ("process_memory_usage_bytes",)),
        (
            "http.server.request.duration",
            tuple(f"http_server_request_duration_seconds_{part}" for part in ("bucket", "sum", "count")),
        ),
    ],
)
def test_prometheus_names_are_those_that_its_receiver_makes(name: str, series: tuple[str, ...]) -> None:
    assert BY_NAME[name].prometheus_series == series


def test_the_runbook_lists_every_metric_and_no_other() -> None:
    rows = [
        line for line in OPERATIONS.read_text().splitlines() if re.match(r"\| `[a-z_]+\.[a-z_.]+` \|", line)
    ]

    assert rows == [row_of(metric) for metric in CATALOGUE]
