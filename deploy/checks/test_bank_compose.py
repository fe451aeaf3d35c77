"""deploy/compose/bank.yml and bank-candidate.yml: valid, hardened, without secrets, and they work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from wattbook.probe import is_well

from deploy.checks import told
from tests.support.ports import free_port
from tests.support.postgres import ADMIN, PostgresServer
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
FILES = {name: ROOT / "deploy/compose" / name for name in ("bank.yml", "bank-candidate.yml")}
SERVICES = {
    (file, name): service
    for file, path in FILES.items()
    for name, service in yaml.safe_load(path.read_text())["services"].items()
}
OURS = {key: service for key, service in SERVICES.items() if "/sandbox:" in service["image"]}
DATABASE = "sqlite:////var/lib/wattbook/bank/bank.db"


@pytest.mark.parametrize("file", FILES)
def test_it_is_a_compose_file(file: str, tmp_path: Path) -> None:
    tool = Path(sys.executable).parent / "check-jsonschema"
    (tmp_path / file).write_text(FILES[file].read_text().replace("${WATTBOOK_PULL:-never}", "never"))

    done = subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", tmp_path / file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("file", "name"), SERVICES)
def test_a_container_is_hardened(file: str, name: str) -> None:
    service = SERVICES[file, name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["restart"] == ("no" if name == "maker" else "unless-stopped")
    assert "healthcheck" in service
    ports = service.get("ports", [])
    assert all(port.startswith("${WATTBOOK_BIND:-127.0.0.1}:") for port in ports)
    assert bool(ports) is (name == "exposer")


@pytest.mark.parametrize(("file", "name"), OURS)
def test_a_container_is_told_what_its_process_knows(file: str, name: str) -> None:
    service = OURS[file, name]

    assert set(service["environment"]) <= told.known()["sandbox"].keys()
    assert service["pull_policy"] == "${WATTBOOK_PULL:-never}"


def test_no_password_is_in_a_file_and_the_candidate_s_names_no_connection() -> None:
    for path in FILES.values():
        for name, value in re.findall(r"(?m)^\s+(\w*(?:PASSWORD|TOKEN)\w*): (.*)$", path.read_text()):
            assert re.fullmatch(r"\$\{\w+(:\?[^}]+|:-)\}", value), f"{path.name}: {name}"
    assert "POSTGRES" not in FILES["bank-candidate.yml"].read_text()


@pytest.mark.parametrize("file", FILES)
def test_the_exposer_waits_for_the_maker(file: str) -> None:
    waits = SERVICES[file, "exposer"]["depends_on"]["maker"]["condition"]

    assert waits == "service_completed_successfully"


@pytest.fixture(scope="module")
def postgres() -> Any:
    with PostgresServer().running() as server:
        yield server


@pytest.mark.parametrize("file", FILES)
def test_what_it_starts_works(file: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The commands and variables of the file, with this machine's addresses for the containers'."""
    port, control = free_port(), free_port()
    chosen: dict[str, str] = {"SETTING": "small", "POSTGRES_DB": "bank"}
    if file == "bank.yml":
        server = request.getfixturevalue("postgres")
        server.execute("create database bank")
        chosen["POSTGRES_HOSTNAME"] = "127.0.0.1"
        chosen |= {"POSTGRES_USER": ADMIN, "POSTGRES_PASSWORD": server.password}
        chosen["PGPORT"] = str(server.port)

    def started(name: str) -> tuple[list[str], dict[str, str]]:
        service = SERVICES[file, name]
        said = {key: _filled(str(value), chosen) for key, value in service["environment"].items()}
        command = [each.replace(DATABASE, f"sqlite:///{tmp_path}/bank.db") for each in service["command"]]
        here = {
            "WATTBOOK_SANDBOX_BANK_LISTEN": f"127.0.0.1:{port}",
            "WATTBOOK_SANDBOX_BANK_CONTROL_LISTEN": f"127.0.0.1:{control}",
            "WATTBOOK_CLOCK_START": "2022-06-01T00:00:00Z",
        }
        ours = {name: value for name, value in os.environ.items() if not name.startswith("WATTBOOK_")}
        return [sys.executable, *command[1:]], {**ours, **chosen, **said, **here}

    command, environment = started("maker")
    for said in ("payments in", "are there already"):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert said in done.stdout, done.stderr
    command, environment = started("exposer")
    exposer = subprocess.Popen(command, env=environment)
    try:
        wait_until(lambda: is_well(f"http://127.0.0.1:{control}/healthz"), timeout_s=60, what="it is healthy")
        assert is_well(f"http://127.0.0.1:{port}/company_info")
    finally:
        exposer.terminate()
        assert exposer.wait(timeout=20) == 0


def _filled(text: str, chosen: dict[str, str]) -> str:
    """A value with its ``${NAME:-default}`` and ``${NAME:?why}`` replaced."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda found: chosen.get(found[1]) or (found[3] if found[2] == "-" else ""),
        text,
    )
