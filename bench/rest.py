"""What each service takes at rest, beside what its pod requests: the usual trades, telemetry exported.

A pod is charged for its own processes, each page once; resident memory counts pages in each process that has
them, so it is the most that a pod can be charged.
"""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import yaml
from wattbook.services import services

from bench.context import Context, Row, at_most, plain
from bench.machine import MIB, peak_rss, processor_s, pss_mib
from deploy.checks.manifests import quantity
from tests.support.live_desk import LiveDesk
from tests.support.otlp_sink import otlp_sink

BASE = Path(__file__).parents[1] / "deploy/k8s/base"
DEPLOYED = {name: entry for name, entry in services().items() if (BASE / name).is_dir()}
SETTLE, REST = 2, 4  # times the usual seconds
# As deploy/k8s and docker-compose.yml say it.
EXPORTED = {
    "OTEL_METRIC_EXPORT_INTERVAL": "15000",
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.1",
}


def run(context: Context) -> list[Row]:
    with ExitStack() as running:
        sink = running.enter_context(otlp_sink(decode=False))
        desk = running.enter_context(
            context.live(
                WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN="100",
                WATTBOOK_INGEST_STORE_URL=f"sqlite:///{context.new_folder()}/spool.db",  # a file everywhere
                OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
                **EXPORTED,
            )
        )
        context.say("settling …")
        time.sleep(context.sizes.seconds * SETTLE)
        rows = _rested(context, desk)
        if not sink.raw:
            raise RuntimeError("nothing was exported")
    return rows


def _rested(context: Context, desk: LiveDesk) -> list[Row]:
    families = {service: _family(desk, service) for service in DEPLOYED}
    everybody = [process for family in families.values() for process in family]
    before_s = {service: sum(map(processor_s, family)) for service, family in families.items()}
    began = time.perf_counter()
    with peak_rss(lambda: everybody) as peaks:
        time.sleep(context.sizes.seconds * REST)
    rested_s = time.perf_counter() - began
    resident_mib: dict[str, float] = defaultdict(float)
    for name, size in peaks.items():
        resident_mib[name.partition(" #")[0]] += size
    pods, rows = resources(), []
    for service, family in families.items():
        asked = pods[service]["requests"]
        cores = (sum(map(processor_s, family)) - before_s[service]) / rested_s
        rows += [
            at_most(
                f"{service}, resident, the most within {rested_s:.0f} s",
                resident_mib[DEPLOYED[service].package], _number(asked["memory"]) / MIB, "MiB", decimals=0,
            ),
            plain("  the same, pages of others shared out", pss_mib(family), "MiB"),
            at_most("  processor", cores, _number(asked["cpu"]), "cores", decimals=3),
        ]  # fmt: skip
    return rows


def _family(desk: LiveDesk, service: str) -> list[psutil.Process]:
    process = desk.process_of(service)
    if process is None:
        raise RuntimeError(f"{service} does not run")
    return [process, *process.children(recursive=True)]


def resources() -> dict[str, dict[str, Any]]:
    """By workload, what its pods request, and their limits."""
    found = {}
    for path in BASE.glob("*/*.yaml"):
        for doc in yaml.safe_load_all(path.read_text()):
            if doc["kind"] in {"Deployment", "StatefulSet"}:
                (container,) = doc["spec"]["template"]["spec"]["containers"]
                found[doc["metadata"]["name"]] = container["resources"]
    return found


def _number(text: object) -> float:
    number = quantity(text)
    if number is None:
        raise ValueError(f"{text} is no quantity")
    return number
