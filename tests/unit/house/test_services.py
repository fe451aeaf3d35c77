"""Who listens where and calls whom is said once, in services.toml; what repeats it is held to it here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from wattbook.bus.topology import GROUPS
from wattbook.services import Entry, sandbox_ports, services

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "docs/extending.md"
BASE = 8080  # of the ports in containers
# Started by `wattbook up`, not deployed yet. Take a service out of here with the first file that deploys it.
NOT_DEPLOYED: frozenset[str] = frozenset()
DEPLOYED = [entry for name, entry in services().items() if name not in NOT_DEPLOYED]
EVENTS = {event for entry in services().values() for event in (*entry.publishes, *entry.hears)}
CONDITIONAL = {"cli/src/wattbook_cli/domain/services.py"}  # needs to know those only that are told more
each_deployed = pytest.mark.parametrize("entry", DEPLOYED, ids=lambda entry: entry.name)


def of_gateway(entry: Entry) -> set[str]:
    """Who has a secret at the gateway, which must know them all; another service knows its own."""
    if entry.name == "gateway":
        return {each.short for each in DEPLOYED if each.is_client}
    return {entry.short} if entry.is_client else set()


def test_no_two_listen_on_one_port() -> None:
    ports = [port for entry in services().values() for port in entry.ports.values()]

    assert len({*ports, *sandbox_ports().values()}) == len(ports) + len(sandbox_ports())


def test_what_a_service_names_in_the_manifest_is_there() -> None:
    for entry in services().values():
        assert {*entry.calls} <= services().keys() - {entry.name}
        assert {*entry.hears} <= {event for each in services().values() for event in each.publishes}
        assert entry.roles <= {"use-api", "sign-people-in"}


def test_services_with_a_store_are_the_groups_of_the_bus_each_spool_its_own() -> None:
    groups = {group.name: (group.types, group.ordered, group.one_each, group.optional) for group in GROUPS}

    assert groups["trade-service"] == (("trade.confirmed",), False, False, False)
    assert groups["pricing-service"] == (("trade.booked",), False, False, True)
    assert groups["ingest-service.*"] == (("trade.refused",), True, True, False)
    assert "report-service" not in groups


def test_the_users_of_rabbitmq_may_publish_and_hear_what_their_services_do() -> None:
    script = (ROOT / "deploy/k8s/components/engines/rabbitmq/start.sh").read_text()
    rights = {name: says for name, *says in re.findall(r"\(says (\w+) '(\S+)' '(\S+)'\)", script)}

    assert rights.keys() == {each.short for each in DEPLOYED if each.publishes or each.hears}
    for entry in (each for each in DEPLOYED if each.short in rights):
        may = [{event for event in EVENTS if re.search(right, event)} for right in rights[entry.short]]
        assert may == [{*entry.publishes}, {*entry.hears}], entry.name


@each_deployed
def test_compose_tells_a_service_where_it_listens_and_whom_it_calls(entry: Entry) -> None:
    told = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][entry.name]["environment"]
    own = f"WATTBOOK_{entry.short.upper()}"
    listens = {
        f"{own}_{'HTTP_LISTEN' if kind == 'pages' else 'LISTEN'}": f"0.0.0.0:{BASE + offset}"
        for kind, offset in entry.ports.items()
    }
    targets = {
        name: told.get(f"WATTBOOK_{services()[name].short.upper()}_TARGET")
        for name in entry.audiences - NOT_DEPLOYED
    }
    if entry.always_embedded:  # asks other services only where it has several nodes, which compose has not
        targets = {}

    assert {name: value for name, value in told.items() if name.endswith("_LISTEN")} == listens
    assert targets == {name: f"{name}:{BASE + services()[name].ports['grpc']}" for name in targets}
    assert ("WATTBOOK_BUS_URL" in told) == bool(entry.publishes or entry.hears)
    assert ("WATTBOOK_GATEWAY_URL" in told) == entry.is_client
    assert {name for name in told if name.endswith("_CLIENT_SECRET")} == {
        f"WATTBOOK_{short.upper()}_CLIENT_SECRET" for short in of_gateway(entry)
    }


@each_deployed
def test_network_policies_let_a_service_call_whom_it_calls_and_nobody_else(entry: Entry) -> None:
    text = (ROOT / "deploy/k8s/components/network-policies/policies.yaml").read_text()
    policies = {each["metadata"]["name"]: each["spec"] for each in yaml.safe_load_all(text)}

    def named(direction: str, field: str) -> set[str]:
        rules: list[dict[str, Any]] = policies[entry.name].get(direction, [])
        selectors = [peer.get("podSelector") for rule in rules for peer in rule.get(field, ())]
        found = {each["matchLabels"]["app.kubernetes.io/name"] for each in selectors if each}
        return found & services().keys() - {entry.name}  # nodes of one service may ask each other

    assert named("egress", "to") == {*entry.calls} - NOT_DEPLOYED
    assert named("ingress", "from") == {each.name for each in DEPLOYED if entry.name in each.calls}


def test_alerts_know_every_service_that_may_be_gone_or_grow() -> None:
    rules = (ROOT / "deploy/observability/prometheus/rules.yaml").read_text()
    deployed = {each.name for each in DEPLOYED}

    assert {*re.findall(r'absent\(process_uptime_seconds\{job="([^"]+)"', rules)} == deployed
    assert deployed <= {*re.findall(r"memory_limit_bytes.*labels: \{job: ([a-z-]+)", rules)}


def places() -> list[str]:
    """The places that the recipe for a new service names, in backquotes at the beginning of a row."""
    recipe = RECIPE.read_text().partition("## A new service")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", recipe, flags=re.MULTILINE)


def test_the_recipe_for_a_new_service_names_at_most_eight_places() -> None:
    assert 0 < len(places()) <= 8
    assert all((ROOT / place).exists() for place in places())


@pytest.mark.parametrize("place", sorted({*places()} - CONDITIONAL))
def test_each_place_that_the_recipe_names_knows_every_service(place: str) -> None:
    files = [ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*.yaml"))
    text = "\n".join(file.read_text() for file in files)
    is_for_containers = place in {"Dockerfile", "docker-compose.yml", "deploy"}
    expected = services().keys() - (NOT_DEPLOYED if is_for_containers else set())

    assert {name for name, entry in services().items() if name in text or entry.package in text} == expected
