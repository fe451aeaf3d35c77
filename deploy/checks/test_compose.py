"""docker-compose.yml: valid, hardened, without secrets, and told what its processes know."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from wattbook.bus.rabbitmq.places import EXCHANGES

from deploy.checks import lint, posture, told
from deploy.checks.manifests import quantity

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OF_ENGINES = (
    "POSTGRES_",
    "RABBITMQ_",
    "GF_",
    "PGDATA",
    "TRADE_",
    "GATEWAY_",
    "PRICING_",
    "INGEST_",
    "REPORT_",
    "CASH_",
    "OPS_",
)
# Its image holds one program, and no tool that could ask it.
WITHOUT_HEALTH = {"otel-collector"}
RUNNING = sorted(name for name, service in SERVICES.items() if service["restart"] != "no")


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def image_of(service: dict[str, Any]) -> str:
    return str(re.sub(r"\$\{[^}]*\}/?", "", service["image"]).partition(":")[0].strip("/"))


def test_it_is_a_compose_file(tmp_path: Path) -> None:
    tool = Path(sys.executable).parent / "check-jsonschema"
    file = tmp_path / "docker-compose.yml"  # the one variable in it whose value the schema looks at
    file.write_text((ROOT / file.name).read_text().replace("${WATTBOOK_PULL:-never}", "never"))

    done = subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_is_hardened(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert not service.get("privileged")
    assert "cap_add" not in service


@pytest.mark.parametrize("name", RUNNING)
def test_a_container_that_stays_is_asked_for_its_health_and_has_time_to_stop(name: str) -> None:
    service = SERVICES[name]

    is_ours = image_of(service) in posture.our_images()
    assert "healthcheck" in service or is_ours or name in WITHOUT_HEALTH
    assert int(service["stop_grace_period"].removesuffix("s")) >= 15


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_is_told_what_its_process_knows(name: str) -> None:
    service = SERVICES[name]
    known = told.known().get(image_of(service))
    if known is None:
        return
    said = environment(service)

    shared = {
        each for each in COMPOSE["x-environment"] if any(each in names for names in told.known().values())
    }
    allowed = known.keys() | shared | told.telemetry() | told.LIBPQ
    strange = {each for each in said if each not in allowed and not each.startswith(OF_ENGINES)}
    missing = {each for each, must in known.items() if must and each not in said}

    assert strange == set()
    if "migrate" not in service.get("command", ()) and image_of(service) != "sandbox":
        assert missing == set()


def test_what_is_depended_on_is_there_and_waited_for_in_the_right_way() -> None:
    for name, service in SERVICES.items():
        for other, terms in service.get("depends_on", {}).items():
            if SERVICES[other]["restart"] == "no":
                wanted = "service_completed_successfully"
            else:
                wanted = "service_started" if other in WITHOUT_HEALTH else "service_healthy"
            assert terms["condition"] == wanted, f"{name} on {other}"


def test_a_container_may_take_the_memory_that_its_pod_may_and_the_alert_counts_with() -> None:
    limits = {
        doc["metadata"]["name"]: doc["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        for overlay in ("local", "staging")
        for doc in lint.render(overlay)
        if doc["kind"] in {"Deployment", "StatefulSet"}
    }

    assert {name: quantity(SERVICES[name]["mem_limit"].upper() + "i") for name in RUNNING} == {
        name: quantity(limit["memory"]) for name, limit in limits.items()
    }


def test_addresses_name_services_that_share_a_network() -> None:
    for name, service in SERVICES.items():
        for variable, value in environment(service).items():
            for host in re.findall(r"(?:^|[/@])([a-z][a-z-]+):\d+", value):
                assert host in SERVICES, f"{name}: {variable} names {host}"
                assert set(SERVICES[host]["networks"]) & set(service["networks"]), (
                    f"{name} cannot reach {host}"
                )


def test_the_gateway_believes_the_pages_and_hears_them_from_inside_only() -> None:
    gateway, pages = SERVICES["gateway"], SERVICES["report-service"]
    (inside,) = (each["subnet"] for each in COMPOSE["networks"]["inside"]["ipam"]["config"])

    assert set(gateway["networks"]) & set(pages["networks"]) == {"inside"}
    assert environment(gateway)["WATTBOOK_TRUSTED_PROXIES"].split(",")[0] == inside
    assert environment(pages)["WATTBOOK_TRUSTED_PROXIES"] == "${WATTBOOK_TRUSTED_PROXIES:-}"


def test_engines_cannot_be_reached_from_outside() -> None:
    for name in (
        "postgres",
        "rabbitmq",
        "trade-service",
        "pricing-service",
        "cash-service",
        "ingest-service",
    ):
        assert "ports" not in SERVICES[name]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("${WATTBOOK_BIND:-127.0.0.1}:") for port in published)


def test_no_secret_is_in_the_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in environment(service).items():
            if re.search(r"PASSWORD|SECRET|SESSION_KEY", variable):
                assert re.fullmatch(r"\$\{\w+(:\?[^}]*|:-)\}", value), f"{name}: {variable}"


def test_every_variable_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    used = set(re.findall(r"\$\{(\w+)(?::\?)", (ROOT / "docker-compose.yml").read_text()))

    assert {name for name in used if not re.search(rf"(?m)^{name}=", example)} == set()


@pytest.mark.parametrize(
    "name", [name for name in sorted(SERVICES) if "WATTBOOK_" in SERVICES[name]["image"]]
)
def test_an_image_of_ours_is_built_here_and_never_somebody_else_s(name: str) -> None:
    service = SERVICES[name]

    assert service["image"].startswith("${WATTBOOK_IMAGES:-localhost/wattbook}/")
    assert service["pull_policy"] == "${WATTBOOK_PULL:-never}"


def test_the_environment_is_made_with_random_secrets_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    make = [sys.executable, ROOT / "deploy/compose/env.py"]

    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    first = (tmp_path / ".env").read_text()
    (tmp_path / ".env").write_text(
        first.replace("WATTBOOK_PORT=8080\n", "").replace("TRADE_BUS_PASSWORD", "OTHER")
    )
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    second = (tmp_path / ".env").read_text()

    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    secrets = dict(re.findall(r"(?m)^([A-Z_]+(?:PASSWORD|SECRET|KEY))=(.*)$", first))
    assert len(secrets) > 15
    assert all(len(value) == 32 for value in secrets.values())
    assert len(set(secrets.values())) == len(secrets)
    # What was there stays, what was missing comes.
    assert f"ADMIN_PASSWORD={secrets['ADMIN_PASSWORD']}\n" in second
    assert re.search(r"(?m)^TRADE_BUS_PASSWORD=\w{32}$", second)
    assert "WATTBOOK_PORT=8080\n" in second


def test_a_rotated_key_leaves_the_one_before_it_valid_until_that_is_retired(tmp_path: Path) -> None:
    keys = [sys.executable, ROOT / "deploy/compose/keys.py"]
    private, public = tmp_path / "private", tmp_path / "public"
    private.mkdir()
    public.mkdir()

    subprocess.run([*keys, private, public], check=True)
    first = (public / "verify-keys.pem").read_bytes()
    subprocess.run([*keys, private, public], check=True)
    again = (public / "verify-keys.pem").read_bytes()
    subprocess.run([*keys, "--rotate", private, public], check=True)
    rotated = (public / "verify-keys.pem").read_bytes()
    subprocess.run([*keys, "--retire", private, public], check=True)
    retired = (public / "verify-keys.pem").read_bytes()

    assert again == first
    assert rotated.count(b"BEGIN PUBLIC KEY") == 2
    assert rotated.endswith(first)
    assert rotated == retired + first
    assert stat.S_IMODE((private / "signing-key.pem").stat().st_mode) == 0o400


def test_databases_and_roles_are_as_the_command_says_them() -> None:
    said = subprocess.run(
        [Path(sys.executable).parent / "wattbook", "db", "roles"], capture_output=True, text=True, check=True
    ).stdout

    assert (ROOT / "deploy/k8s/base/databases/roles.sql").read_text() == said


def test_rights_on_the_bus_are_the_same_with_compose_and_in_production() -> None:
    script = (ROOT / "deploy/k8s/components/engines/rabbitmq/start.sh").read_text()
    alone = {found[0]: found[1:] for found in re.findall(r"may (\w+) '(.*?)' '(.*?)' '(.*?)'", script)}
    topics = {found[0]: found[1:] for found in re.findall(r"says (\w+) '(.*?)' '(.*?)'", script)}
    exchanges = set(re.findall(r"\(exchange (\S+) (\w+)\)", script))
    operated = list(yaml.safe_load_all((ROOT / "deploy/k8s/components/operators/rabbitmq.yaml").read_text()))
    rights = {
        doc["spec"]["user"]: doc["spec"]["permissions"] for doc in operated if doc["kind"] == "Permission"
    }
    says = {
        doc["spec"]["user"]: doc["spec"]["permissions"]
        for doc in operated
        if doc["kind"] == "TopicPermission"
    }

    made = {(doc["spec"]["name"], doc["spec"]["type"]) for doc in operated if doc["kind"] == "Exchange"}
    assert exchanges == made == set(EXCHANGES)
    alone.pop("admin")  # RabbitMQ's operator has an admin of its own
    assert alone == {user: (may["configure"], may["write"], may["read"]) for user, may in rights.items()}
    assert topics == {user: (may["write"], may["read"]) for user, may in says.items()}
