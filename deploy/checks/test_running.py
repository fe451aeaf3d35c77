"""Debian's Prometheus and Alertmanager, with our own files, look at a running desk: every figure has a value.

The product runs on PostgreSQL and RabbitMQ; where the collector stands, ``exporter`` stands here. Only
addresses and intervals are changed.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from wattbook_cli.domain.desk import BUS_URL, STORES, store_variable

from deploy.checks.exporter import Exposition, listening, serving
from deploy.checks.test_observability import PLACE, alerts, expressions
from tests.support import rabbitmq
from tests.support.live_desk import LiveDesk
from tests.support.otlp_sink import otlp_sink
from tests.support.pages import PageReader
from tests.support.ports import free_port
from tests.support.postgres import Lender, PostgresServer
from tests.support.trades import trade
from tests.support.waiting import TooLate, wait_until

pytestmark = pytest.mark.timeout(600)

# Why a part of an expression has no value on a desk that runs.
WITHOUT = {
    "otelcol_receiver_refused_metric_points": "the collector's own, and there is none here",
    "cnpg_": "told by PostgreSQL's operator, and there is none here",
    "barman_cloud_": "the same",
}
EVERY_S = 2
_COMPARED = re.compile(r"\s*(?:==|>=|>|<)\s*\d[\d.]*")
_TOKEN = re.compile(r"([()]|\s+or\s+)")


@dataclass
class Watched:
    """A desk, and who looks at it."""

    desk: LiveDesk
    postgres: PostgresServer
    prometheus: str
    told: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)

    def ask(self, path: str, **query: str) -> Any:
        answer = httpx.get(f"http://{self.prometheus}/api/v1/{path}", params=query, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with ExitStack() as running:
        sink = running.enter_context(otlp_sink())
        postgres = running.enter_context(PostgresServer().running())
        bus = running.enter_context(rabbitmq.running())
        stores = {store_variable(name): Lender(postgres).new_url() for name in STORES}
        desk = LiveDesk(
            folder / "desk",
            "--sandbox",
            environment={**stores, BUS_URL: bus.url(bus.vhost()), **sink.environment()},
        )
        running.callback(desk.kill_all)
        desk.launch()
        desk.wait_ready(timeout_s=150)
        services = running.enter_context(serving(Exposition(sink)))
        collector = running.enter_context(serving(str))
        told: queue.Queue[dict[str, Any]] = queue.Queue()
        pager = running.enter_context(heard(told))
        alertmanager = running.enter_context(alerting(folder, pager))
        places = {
            "otel-collector:8889": services,
            "otel-collector:8888": collector,
            "rabbitmq:15692": f"127.0.0.1:{bus.metrics_port}",
            "alertmanager:9093": alertmanager,
        }
        yield Watched(desk, postgres, running.enter_context(scraping(folder, places)), told)


@contextmanager
def scraping(folder: Path, places: dict[str, str]) -> Iterator[str]:
    """Prometheus with our configuration and rules; host:port."""
    text = (PLACE / "prometheus/prometheus.yaml").read_text()
    for there, here in places.items():
        assert there in text
        text = text.replace(there, here)
    config = folder / "prometheus.yaml"
    config.write_text(text.replace("interval: 15s", f"interval: {EVERY_S}s"))
    shutil.copy(PLACE / "prometheus/rules.yaml", folder / "rules.yaml")
    address = f"127.0.0.1:{free_port()}"
    arguments = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'series'}")
    with program("prometheus", *arguments, f"--web.listen-address={address}", log=folder / "prometheus.log"):
        wait_answers(f"http://{address}/-/ready")
        yield address


@contextmanager
def alerting(folder: Path, pager: str) -> Iterator[str]:
    """Alertmanager with our routes, whose receivers are all the one pager; host:port."""
    told = yaml.safe_load((PLACE / "alertmanager/alertmanager.yaml").read_text())
    told["route"]["group_wait"] = "1s"
    for receiver in told["receivers"]:
        receiver["webhook_configs"] = [{"url": f"http://{pager}/{receiver['name']}"}]
    config = folder / "alertmanager.yaml"
    config.write_text(yaml.safe_dump(told))
    address = f"127.0.0.1:{free_port()}"
    arguments = (
        f"--config.file={config}", f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address={address}", "--cluster.listen-address=",
    )  # fmt: skip
    with program("prometheus-alertmanager", *arguments, log=folder / "alertmanager.log"):
        wait_answers(f"http://{address}/-/ready")
        yield address


@contextmanager
def program(name: str, *arguments: str, log: Path) -> Iterator[None]:
    """A program of Debian's while the block lasts; skips without it, but not in CI."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    with log.open("wb") as out, subprocess.Popen([found, *arguments], stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def heard(told: queue.Queue[dict[str, Any]]) -> Iterator[str]:
    """Takes what Alertmanager sends, with the receiver's name as ``receiver``; host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with listening(Handler) as address:
        yield address


def wait_answers(url: str) -> None:
    wait_until(
        lambda: httpx.get(url, trust_env=False).status_code == 200, timeout_s=30, what=f"{url} answers"
    )


def parts_of(expression: str) -> list[str]:
    """What must have a value of its own: each side of ``or``, without thresholds, ``absent``, ``unless``."""
    filled = expression.replace("$__rate_interval", f"{8 * EVERY_S}s").replace("$job", ".+")
    bare = _COMPARED.sub("", re.sub(r"absent\(([^()]*)\)", r"\1", filled)).replace("> on", "/ on")
    return sides_of(re.sub(r"\s+unless\s+\w+", "", bare))


def sides_of(expression: str) -> list[str]:
    """What each ``or`` stands between, but for those inside brackets."""
    sides, depth = [""], 0
    for token in _TOKEN.split(expression):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token.strip() == "or" and not depth:
            sides.append("")
        else:
            sides[-1] += token
    return sides


def asked() -> dict[str, str]:
    """By part, where it is asked for."""
    return {
        part: where
        for where, expression in expressions()
        for part in parts_of(expression)
        if not any(name in part for name in WITHOUT)
    }


def trouble(watched: Watched) -> None:
    """Whatever a desk meets in a year: wrong passwords, nonsense, a database that goes away."""
    desk = watched.desk
    desk.exchange("POST", "frame", text="{}")
    with PageReader(desk.pages_url, "admin", desk.admin_password) as reader:
        assert reader.http.get("/feed").status_code == 200
    with desk.client() as admin:
        for _ in range(5):
            httpx.get(f"{desk.url}/v1/me", auth=("nobody", "wrong"), trust_env=False)
        watched.postgres.stop()
        try:
            assert admin.book(trade()).status_code == 503
        finally:
            watched.postgres.start()
        wait_until(lambda: admin.book(trade()).status_code == 200, timeout_s=60, what="it books again")


def test_every_part_of_every_rule_and_panel_has_a_value_on_a_running_desk(watched: Watched) -> None:
    wanted = asked()

    def missing() -> dict[str, str]:
        for part in [part for part in wanted if watched.ask("query", query=part)["result"]]:
            del wanted[part]
        return wanted

    trouble(watched)
    with suppress(TooLate):  # what is left says more
        wait_until(lambda: not missing(), timeout_s=200, what="all have a value", most_s=1)
    assert wanted == {}


def test_what_has_no_value_is_still_asked_for() -> None:
    everything = " ".join(expression for _, expression in expressions())

    assert all(name in everything for name in WITHOUT)


def test_every_rule_is_evaluated_and_no_alert_of_a_healthy_desk_is_about_its_wiring(watched: Watched) -> None:
    groups = watched.ask("rules")["groups"]
    states = {rule["name"]: rule for group in groups for rule in group["rules"]}

    assert {alert["alert"] for alert in alerts()} <= states.keys()
    assert {rule["health"] for rule in states.values()} == {"ok"}
    wired = ("TelemetryGone", "ServiceGone", "FeedDown", "NoPriceLeader", "BusHoldsPublishers", "MemoryHigh")

    def at_rest() -> bool:
        found = {rule["name"]: rule for group in watched.ask("rules")["groups"] for rule in group["rules"]}
        return all(found[name]["state"] == "inactive" for name in wired)

    # While a desk starts, some are pending: nothing has reported yet.
    wait_until(at_rest, timeout_s=100, what="no alert about the wiring is pending", most_s=1)


def test_the_first_conflict_reaches_whoever_is_told_of_warnings_with_its_runbook(watched: Watched) -> None:
    stated, so_far = trade(), 'wattbook_trade_bookings_total{result="conflict",source="rest"}'
    wait_until(lambda: watched.ask("query", query=so_far)["result"], timeout_s=60, what="none is counted yet")
    with watched.desk.client() as admin:
        admin.added(stated)
        assert admin.book({**stated, "price": 999}).status_code == 409

    def arrived() -> Any:
        message = watched.told.get(timeout=1)
        return message if message["groupLabels"]["alertname"] == "BookingConflict" else None

    message = wait_until(arrived, timeout_s=60, what="the alert arrives")

    assert message["receiver"] == "desk"
    assert message["alerts"][0]["annotations"]["runbook"] == "docs/operations.md#bookingconflict"
    assert message["alerts"][0]["labels"]["source"] == "rest"
