"""The simulated worlds as processes: start, health, a fast day, orderly stop, refusals to start."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

EXCHANGE = "WATTBOOK_SANDBOX_EXCHANGE_"
PROVIDER = "WATTBOOK_SANDBOX_MARKET_DATA_"
BANK = "WATTBOOK_SANDBOX_BANK_"
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start ``python -m <module>`` with these variables and no others of ours; ended afterwards."""
    started: list[subprocess.Popen[str]] = []

    def begin(module: str, **environment: str) -> subprocess.Popen[str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("WATTBOOK_")}
        process = subprocess.Popen(
            [sys.executable, "-m", module], env=ours | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _addresses(prefix: str) -> tuple[dict[str, str], str, str]:
    """Settings for two free ports, the address served there, and the control endpoint's URL."""
    port, control = _free_ports(2)
    settings = {f"{prefix}LISTEN": f"127.0.0.1:{port}", f"{prefix}CONTROL_LISTEN": f"127.0.0.1:{control}"}
    return settings, f"127.0.0.1:{port}", f"http://127.0.0.1:{control}"


def _get(url: str) -> Any:
    return httpx.get(url, timeout=5).raise_for_status().json()


def _healthy(control: str) -> None:
    wait_until(
        lambda: _get(f"{control}/healthz")["status"] == "ok", timeout_s=30, what="the world is healthy"
    )


def _stopped(process: subprocess.Popen[str], number: int) -> str:
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    return errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_exchange_trades_and_stops_in_order(start: Start, tmp_path: Path, number: int) -> None:
    settings, address, control = _addresses(EXCHANGE)
    settings |= {f"{EXCHANGE}FILES": str(tmp_path), f"{EXCHANGE}TRADES_PER_MIN": "6000"}
    process = start("sandbox.exchange", **settings)
    _healthy(control)

    with connect(f"ws://{address}", compression=None, proxy=None) as listener:
        frames = [json.loads(listener.recv(timeout=10)) for _ in range(20)]
        logs = _stopped(process, number)

    assert {next(iter(frame)) for frame in frames} == {"trade_confirmation"}
    assert listener.close_code == 1001
    assert all(json.loads(line)["service"] == "sandbox-exchange" for line in logs.splitlines())


def test_a_day_runs_in_seconds_and_ends_with_the_file_of_what_was_sent(start: Start, tmp_path: Path) -> None:
    """From 18:00 to midnight in Berlin, an hour a second."""
    settings, _, control = _addresses(EXCHANGE)
    settings |= {f"{EXCHANGE}FILES": str(tmp_path), f"{EXCHANGE}TRADES_PER_MIN": "5"}
    settings |= {"WATTBOOK_CLOCK_START": "2023-02-06T18:00:00+01:00", "WATTBOOK_CLOCK_SPEED": "3600"}
    process = start("sandbox.exchange", **settings)

    path = wait_until(lambda: next(tmp_path.glob("epex_*.csv"), None), timeout_s=60, what="the file is there")
    httpx.post(f"{control}/control/pause", timeout=5).raise_for_status()
    sent = _get(f"{control}/control/sent?limit=10000")["trades"]
    _stopped(process, signal.SIGTERM)

    with path.open(newline="") as file:
        rows = [row["id"] for row in csv.DictReader(file)]
    assert path.name == "epex_trades_20230206.csv"
    assert rows == [trade["id"] for trade in sent if trade["execution_time"] < "2023-02-06T23:00:00Z"]
    assert 1200 < len(rows) < 2400


def test_the_provider_answers_and_stops_in_order(start: Start) -> None:
    settings, address, control = _addresses(PROVIDER)
    process = start("sandbox.market_data", WATTBOOK_CLOCK_START="2023-02-06T09:31:00Z", **settings)
    _healthy(control)

    query = "delivery_day=2023-02-06&delivery_hour=12-13"
    with httpx.Client(base_url=f"http://{address}", timeout=5) as kept_open:
        body = kept_open.get(f"/v1/reference-price?{query}").raise_for_status().json()
        _stopped(process, signal.SIGTERM)

    assert body["delivery_hour"] == "12-13"
    assert body["last_update"].startswith("2023-02-06T09:30:")


@pytest.mark.parametrize(
    ("module", "environment", "named"),
    [
        ("sandbox.exchange", {}, f"{EXCHANGE}FILES is not set"),
        ("sandbox.exchange", {f"{EXCHANGE}FILES": "x", f"{EXCHANGE}FAULTS": "no=1"}, f"{EXCHANGE}FAULTS"),
        ("sandbox.market_data", {f"{PROVIDER}CONTROL_LISTEN": "0.0.0.0:8098"}, "not a loopback address"),
        ("sandbox.market_data", {"WATTBOOK_CLOCK_SPEED": "fast"}, "WATTBOOK_CLOCK_SPEED"),
        ("sandbox.bank", {"SETTING": "huge"}, "'huge' is none of small, medium, large, mega"),
        ("sandbox.bank", {f"{BANK}SOURCE": "nowhere", "SETTING": "large"}, "size large is missing"),
    ],
)
def test_a_wrong_setting_is_exit_78_and_a_clear_line(
    start: Start, module: str, environment: dict[str, str], named: str
) -> None:
    process = start(module, **environment)

    _, errors = process.communicate(timeout=30)

    assert process.returncode == 78
    assert named in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "prefix"), [("sandbox.exchange", EXCHANGE), ("sandbox.market_data", PROVIDER)]
)
@pytest.mark.parametrize("taken", ["LISTEN", "CONTROL_LISTEN"])
def test_a_port_in_use_is_exit_1_and_a_clear_line(
    start: Start, tmp_path: Path, module: str, prefix: str, taken: str
) -> None:
    settings, _, _ = _addresses(prefix)
    host, port = settings[f"{prefix}{taken}"].split(":")

    with socket.create_server((host, int(port))):
        process = start(module, **settings, **{f"{EXCHANGE}FILES": str(tmp_path)})
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 1
    assert errors.strip() == f"cannot listen on {host}:{port}: the port is in use"


def test_the_bank_crashes_on_demand_comes_back_and_still_knows_what_was_changed(start: Start) -> None:
    settings, address, control = _addresses(BANK)
    process = start("sandbox.bank", **settings, WATTBOOK_CLOCK_START="2023-02-06T09:31:00Z")
    _healthy(control)
    moved = httpx.post(f"{control}/control/move-account", timeout=5).raise_for_status().json()
    expected = _get(f"http://{address}/company_info")
    httpx.post(f"{control}/control/faults", json={"crash_rate": 1}, timeout=5).raise_for_status()

    with pytest.raises(httpx.TransportError):
        _get(f"http://{address}/sepa")
    wait_until(lambda: _crashes(control) == 1, timeout_s=30, what="the bank is there again")
    state = _get(f"{control}/control/state")
    httpx.delete(f"{control}/control/faults", timeout=5).raise_for_status()

    assert state["faults"]["crash_rate"] == 1
    assert state["moved"] == {moved["iban"]: moved["to"]}
    assert _get(f"http://{address}/company_info") == expected
    assert process.poll() is None
    _stopped(process, signal.SIGTERM)


def _crashes(control: str) -> int:
    try:
        return int(_get(f"{control}/control/state")["crashes"])
    except httpx.TransportError:
        return -1


def test_the_bank_waits_for_a_database_that_is_not_up_and_stops_meanwhile(start: Start) -> None:
    settings, _, _ = _addresses(BANK)
    process = start("sandbox.bank", **settings, **{f"{BANK}SOURCE": "postgresql://somebody@127.0.0.1:9/bank"})

    assert process.stderr
    line = json.loads(process.stderr.readline())
    assert line["message"] == "waiting for the database"
    assert "cannot be reached" in line["error"]
    _stopped(process, signal.SIGTERM)


def test_the_wattbook_command_makes_a_bank_s_data_as_the_maker_does(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wattbook_cli", "demo-data", "bank", "--out", str(tmp_path / "out")]
    days = ["--from", "2020-02-11", "--to", "2020-02-12", "--seed", "3", "--json"]

    made = subprocess.run(
        [*command, *days],
        env={**os.environ, "SETTING": "medium"},
        capture_output=True,
        text=True,
        check=False,
    )
    again = subprocess.run([*command, *days], capture_output=True, text=True, check=False)

    assert made.returncode == 0, made.stderr
    said = json.loads(made.stdout)
    assert (said["size"], said["seed"], said["from"], said["to"]) == ("medium", 3, "2020-02-11", "2020-02-12")
    assert "payments" in made.stderr  # the progress
    assert (tmp_path / "out" / "set.json").exists()
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_a_client_goes_on_by_its_cursor_after_the_bank_was_killed(start: Start, tmp_path: Path) -> None:
    days = ["--from", "2020-01-01", "--to", "2020-03-01"]
    make = [sys.executable, "-m", "sandbox.bank", "make", "--out", str(tmp_path / "out"), *days]
    subprocess.run(make, check=True, capture_output=True)
    settings, address, control = _addresses(BANK)
    settings |= {f"{BANK}SOURCE": str(tmp_path / "out"), "SETTING": "small"}
    found: list[Any] = []

    cursor, asked_of = "", start("sandbox.bank", **settings)
    _healthy(control)
    while not found or found[-1]["window"]["complete"]:
        if len(found) == 4:
            asked_of.kill()
            asked_of.wait(timeout=20)
            asked_of = start("sandbox.bank", **settings)
            _healthy(control)
        found.append(_get(f"http://{address}/swift?cursor={cursor}" if cursor else f"http://{address}/swift"))
        cursor = found[-1]["next"]

    windows = [answer["window"]["from"] for answer in found]
    assert windows == sorted(set(windows))
    assert found[0]["transactions"][0]["timestamp"] < "2020-01-02"
    assert found[-2]["transactions"][-1]["timestamp"] > "2020-02-29"
