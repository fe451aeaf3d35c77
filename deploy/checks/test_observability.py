"""Alerts, dashboards and the collector: valid, tested, and about metrics that the services export."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from wattbook.telemetry.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "deploy/observability"
DASHBOARDS = sorted((PLACE / "grafana/dashboards").glob("*.json"))
# What is not ours: Prometheus' own, the collector's, RabbitMQ's plugin's, those of PostgreSQL's operator and
# of its backups, and a recording of ours.
OTHERS = re.compile(r"up|otelcol_\w+|rabbitmq_\w+|cnpg_\w+|barman_cloud_\w+|wattbook:memory_limit_bytes")
LABELS = {"job", "instance", "le"}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PLACE / "prometheus/rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@cache
def exported() -> dict[str, set[str]]:
    """Series and their labels, as the catalogue says; a test of telemetry holds the services to it."""
    return {name: {*metric.prometheus_labels} for metric in CATALOGUE for name in metric.prometheus_series}


def names_in(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expression)
    bare = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w:])[a-z][\w:]*(?!\s*\()(?![\w:])", bare)
    return {word for word in words if word not in {"or", "and", "unless", "by", "on", "bool", "vector"}}


def labels_in(expression: str) -> set[str]:
    matched = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression))
    grouped = re.findall(r"\b(?:by|without|on)\s*\(([^)]*)\)", expression)
    return matched | {label.strip() for group in grouped for label in group.split(",") if label.strip()}


def expressions() -> list[tuple[str, str]]:
    found = [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules()]
    for file in DASHBOARDS:
        board = json.loads(file.read_text())
        found += [
            (f"{file.stem}: {panel['title']}", target["expr"])
            for panel in board["panels"]
            for target in panel.get("targets", ())
        ]
    return found


def test_rules_are_valid_and_every_alert_fires_and_stays_quiet_as_its_tests_say() -> None:
    run("promtool", "check", "rules", PLACE / "prometheus/rules.yaml")
    run("promtool", "test", "rules", ROOT / "deploy/checks/rules.test.yaml")

    tests = yaml.safe_load((ROOT / "deploy/checks/rules.test.yaml").read_text())["tests"]
    tested = {test["name"] for test in tests}
    for alert in alerts():
        assert {f"{alert['alert']} fires", f"{alert['alert']} stays quiet"} <= tested
    for test in tests:
        assert bool(test["alert_rule_test"][0]["exp_alerts"]) == test["name"].endswith(" fires"), test["name"]


def test_prometheus_and_alertmanager_take_their_configuration() -> None:
    run("promtool", "check", "config", PLACE / "prometheus/prometheus.yaml")
    assert "SUCCESS" in run("amtool", "check-config", PLACE / "alertmanager/alertmanager.yaml")


def test_receivers_as_the_comments_say_them_are_taken_and_read_what_is_mounted(tmp_path: Path) -> None:
    text = (PLACE / "alertmanager/alertmanager.yaml").read_text()
    shown = re.sub(r"(?m)^    # (\w+_configs:)", r"    \1", text)
    # Debian's Alertmanager is older than a webhook's url_file.
    old = re.sub(r"(webhook_configs.*)url_file: [\w/-]+", r"\1url: http://pager/", shown)
    (tmp_path / "alertmanager.yaml").write_text(old)
    files = re.findall(r"url_file: ([\w/-]+)", shown)
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["alertmanager"]
    cluster = (ROOT / "deploy/k8s/components/observability/observability.yaml").read_text()

    assert "SUCCESS" in run("amtool", "check-config", tmp_path / "alertmanager.yaml")
    assert len(files) == len(yaml.safe_load(text)["receivers"])
    assert {Path(file).parent for file in files} == {Path("/etc/alertmanager-receivers")}
    assert any(":/etc/alertmanager-receivers:" in volume for volume in compose["volumes"])
    assert "mountPath: /etc/alertmanager-receivers" in cluster


def test_alertmanager_knows_every_alert_that_it_keeps_quiet() -> None:
    text = (PLACE / "alertmanager/alertmanager.yaml").read_text()
    named = {name for found in re.findall(r'alertname =~? "([^"]+)"', text) for name in found.split("|")}

    assert named <= {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_names_its_part_of_the_runbook(alert: dict[str, Any]) -> None:
    file, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"(?m)^#+ (.+)$", (ROOT / file).read_text())

    assert anchor == alert["alert"].lower()
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert alert["labels"]["severity"] in {"critical", "warning"}


@pytest.mark.parametrize(("where", "expression"), expressions(), ids=lambda text: text[:40])
def test_an_expression_asks_for_what_is_exported(where: str, expression: str) -> None:
    names = names_in(expression)
    ours = {name for name in names if not OTHERS.fullmatch(name)}

    assert names or expression.startswith("vector("), where
    assert ours <= exported().keys()
    if names == ours:
        allowed = set[str]().union(*(exported()[name] for name in ours)) | LABELS
        assert labels_in(expression) <= allowed


def test_dashboards_ask_in_a_language_that_prometheus_knows(tmp_path: Path) -> None:
    asked = [expression for where, expression in expressions() if ": " in where]
    filled = [each.replace("$__rate_interval", "5m").replace("$job", "gateway") for each in asked]
    file = tmp_path / "rules.yaml"
    record = [{"record": f"panel:{index}", "expr": each} for index, each in enumerate(filled)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": record}]}))

    run("promtool", "check", "rules", file)

    assert len(filled) > 50


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_laid_out_without_overlaps_and_names_its_source(file: Path) -> None:
    board = json.loads(file.read_text())
    taken: set[tuple[int, int]] = set()

    assert board["uid"] == file.stem
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert all(target["datasource"]["uid"] == "wattbook" for target in panel.get("targets", ()))


def test_every_metric_of_ours_is_on_a_dashboard_or_in_an_alert() -> None:
    shown = set[str]().union(*(names_in(expression) for _, expression in expressions()))
    unseen = {metric.name for metric in CATALOGUE if not shown & set(metric.prometheus_series)}

    # How long a listener has been connected, or not: a figure for the page, not for a graph.
    # When the newest cycle began: its age is told.
    assert unseen <= {"wattbook.feed.state.age", "wattbook.price.cycle.start"}


def test_the_collector_takes_what_services_send_and_serves_what_prometheus_asks() -> None:
    collector = yaml.safe_load((PLACE / "collector.yaml").read_text())
    scraped = yaml.safe_load((PLACE / "prometheus/prometheus.yaml").read_text())["scrape_configs"]
    targets = {target for job in scraped for each in job["static_configs"] for target in each["targets"]}

    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")
    assert f"otel-collector:{collector['exporters']['prometheus']['endpoint'].rpartition(':')[2]}" in targets
    # Else its own figures have other names than dashboards ask for (opentelemetry-collector, PR 12500).
    (reader,) = collector["service"]["telemetry"]["metrics"]["readers"]
    said = reader["pull"]["exporter"]["prometheus"]
    assert said["without_type_suffix"]
    assert said["without_units"]
    defined = {kind: set(collector[kind]) for kind in ("receivers", "processors", "exporters")}
    for pipeline in collector["service"]["pipelines"].values():
        for kind, names in defined.items():
            assert set(pipeline[kind]) <= names


def test_what_leaves_the_collector_begins_where_its_own_pipelines_end() -> None:
    collector = yaml.safe_load((PLACE / "collector.yaml").read_text())
    export = yaml.safe_load((ROOT / "deploy/k8s/components/telemetry-export/export.yaml").read_text())
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["otel-collector"]
    asked = set(re.findall(r"\$\{env:(\w+)\}", json.dumps(export)))

    for name, pipeline in export["service"]["pipelines"].items():
        assert set(pipeline) == {"exporters"}
        assert name in collector["service"]["pipelines"]
        assert set(pipeline["exporters"]) <= set(export["exporters"])
    assert asked == set(compose["environment"])
    assert "outside" in compose["networks"]


def test_memory_limits_in_the_rules_are_those_of_the_pods() -> None:
    from deploy.checks import lint
    from deploy.checks.manifests import quantity

    said = {rule["labels"]["job"]: float(rule["expr"][7:-1]) for rule in rules() if "record" in rule}
    pods = {
        doc["metadata"]["name"]: quantity(
            doc["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
        )
        for doc in lint.render("production")
        if doc["kind"] in {"Deployment", "StatefulSet"}
    }

    assert {name: pods[name] for name in said} == said


def test_prometheus_in_a_cluster_asks_as_on_one_machine_but_rabbitmq_over_tls_and_postgres_too(
    tmp_path: Path,
) -> None:
    inside = ROOT / "deploy/k8s/components/observability/prometheus.yaml"
    ours, theirs = (
        yaml.safe_load(path.read_text()) for path in (PLACE / "prometheus/prometheus.yaml", inside)
    )
    jobs, others = ({job["job_name"]: job for job in told.pop("scrape_configs")} for told in (ours, theirs))

    assert (ours, jobs | {"rabbitmq": None, "postgres": None}) == (
        theirs, others | {"rabbitmq": None, "postgres": None}
    )  # fmt: skip
    assert others.keys() - jobs.keys() == {"postgres"}
    (tmp_path / "rules.yaml").write_text((PLACE / "prometheus/rules.yaml").read_text())
    (tmp_path / "ca.crt").write_text("")
    told = inside.read_text().replace("/etc/prometheus-ca", str(tmp_path))
    (tmp_path / "prometheus.yaml").write_text(told)
    run("promtool", "check", "config", tmp_path / "prometheus.yaml")
