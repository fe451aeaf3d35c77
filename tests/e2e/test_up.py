"""Starting and stopping the product, as the person at the terminal does it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from wattbook.services import services

from tests.support.client import Client
from tests.support.desk import START_S, WATTBOOK, Desk
from tests.support.engines import is_production
from tests.support.trades import trade, unique
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

MakeDesk = Callable[..., Desk]
SERVICES = tuple(name for name, entry in services().items() if not entry.optional)
# The drivers of PostgreSQL and RabbitMQ take their share.
MOST_MEMORY_BYTES = (1_000 if is_production() else 900) * 1024 * 1024


def said(desk: Desk) -> str:
    return desk.log.read_text() if desk.log.exists() else ""


def wait_said(desk: Desk, words: str, *, times: int = 1, timeout_s: float = START_S) -> str:
    def there() -> bool:
        assert desk.supervisor.poll() is None, desk.logs()
        return said(desk).count(words) >= times

    wait_until(there, timeout_s=timeout_s, what=f"it says {words!r}")
    return said(desk)


def launched(desk: Desk) -> str:
    """Start it and wait for the whole greeting."""
    greetings = said(desk).count("Ctrl-C stops.")
    desk.launch()
    return wait_said(desk, "Ctrl-C stops.", times=greetings + 1)


def password_in(greeting: str) -> str:
    found = re.findall(r"^  Password     (\S+)   \(shown this once\)$", greeting, flags=re.MULTILINE)
    assert found, greeting
    return str(found[-1])


def refused_up(desk: Desk, *arguments: str) -> str:
    """The one line on which a start was refused."""
    done = subprocess.run(
        [str(WATTBOOK), "up", *arguments], env=desk.environment, capture_output=True, text=True, timeout=30,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


def assert_stopped_cleanly(desk: Desk) -> None:
    assert desk.stop() == 0, desk.logs()
    logs = desk.logs(lines=10_000)
    assert "Traceback" not in logs, logs
    assert said(desk).endswith("Stopped.\n")


@pytest.fixture
def without_password(make_desk: MakeDesk) -> Desk:
    """A desk that has to make the first user's password itself."""
    return make_desk(environment={"WATTBOOK_ADMIN_PASSWORD": ""})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk for this file only: its services get killed."""
    desk = Desk(tmp_path_factory.mktemp("up"))
    try:
        launched(desk)
        yield desk
        assert_stopped_cleanly(desk)
    finally:
        desk.kill_all()


def test_up_says_where_everything_is_and_a_password_that_works(without_password: Desk) -> None:
    desk = without_password

    greeting = launched(desk)

    assert re.search(r"^Wattbook is ready \(\d+\.\d s\)\.$", greeting, flags=re.MULTILINE)
    for line in (
        f"  Pages        {desk.pages_url}",
        f"  API          {desk.url}/v1",
        f"  API page     {desk.url}/v1/ui/",
        f"  Drop folder  {desk.inbox}",
        "  User         admin",
    ):
        assert f"{line}\n" in greeting
    with Client(desk.url, "admin", password_in(greeting)) as admin:
        assert admin.http.get("/v1/me").json()["roles"] == ["admin"]
        assert admin.http.get("/v1/ui/").status_code == 200
    assert httpx.get(desk.pages_url, timeout=5, trust_env=False, follow_redirects=True).status_code == 200
    assert_stopped_cleanly(desk)


def test_a_second_start_keeps_the_password_and_the_data(without_password: Desk) -> None:
    desk = without_password
    password = password_in(launched(desk))
    one = trade()
    with Client(desk.url, "admin", password) as admin:
        admin.added(one)
    assert_stopped_cleanly(desk)

    greeting = launched(desk)

    assert greeting.count(password) == 1
    assert "Password     as set before — `wattbook users passwd admin` changes it" in greeting
    with Client(desk.url, "admin", password) as admin:
        assert [found["id"] for found in admin.trades(trader_id=one["trader_id"])] == [one["id"]]
    assert_stopped_cleanly(desk)


def test_a_password_given_is_used_and_never_shown(running: Desk) -> None:
    assert running.admin_password not in running.logs(lines=10_000)
    assert "Password     as WATTBOOK_ADMIN_PASSWORD says" in said(running)
    with running.client() as admin:
        assert admin.http.get("/v1/me").status_code == 200


def test_no_secret_is_on_a_command_line_or_in_a_log(running: Desk) -> None:
    secrets = [
        (running.data / "secrets" / name).read_text().strip()
        for name in ("session-key", "ingest-client-secret")
    ]
    shown = " ".join(" ".join(process.cmdline()) for process in running.family()) + running.logs(lines=10_000)

    assert all(len(secret) > 20 for secret in secrets)
    assert not any(secret in shown for secret in [*secrets, running.admin_password])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_of_stopping_ends_all_processes_and_with_0(make_desk: MakeDesk, number: int) -> None:
    desk = make_desk()
    launched(desk)
    family = desk.family()

    desk.supervisor.send_signal(number)
    code = desk.supervisor.wait(30)

    assert code == 0, desk.logs()
    assert not psutil.wait_procs(family, timeout=1)[1]
    assert "Traceback" not in desk.logs(lines=10_000)


def test_a_stop_while_starting_is_as_clean(make_desk: MakeDesk) -> None:
    desk = make_desk()
    desk.launch()
    wait_until(lambda: len(desk.family()) >= len(SERVICES), timeout_s=START_S, what="the services start")

    assert_stopped_cleanly(desk)


def test_status_says_what_runs_and_that_it_is_healthy(running: Desk) -> None:
    done = running.run("status", "--data", str(running.data))
    told = json.loads(running.run("status", "--data", str(running.data), "--json").stdout)

    assert done.returncode == 0, done.stdout
    assert all(f"{name}" in done.stdout for name in (*SERVICES, "supervisor"))
    assert max(map(len, done.stdout.splitlines()[:7])) <= 80
    assert told["healthy"] is True
    assert [process["name"] for process in told["processes"]] == ["supervisor", *SERVICES]
    assert sum(process["memory_bytes"] for process in told["processes"]) <= MOST_MEMORY_BYTES


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_service_is_started_again(running: Desk, service: str) -> None:
    died = running.kill(service)

    running.wait_restarted(service, died)

    wait_said(running, f"{service} ended (killed by SIGKILL); starting it again")
    wait_said(running, f"{service} is back")
    wait_until(
        lambda: running.run("status", "--data", str(running.data)).returncode == 0,
        timeout_s=10, what="status is content",
    )  # fmt: skip


def test_a_wrong_password_is_answered_with_what_to_do(running: Desk) -> None:
    done = running.run("report", "trader_1", WATTBOOK_USER="nobody", WATTBOOK_PASSWORD="wrong")

    assert done.returncode == 1
    assert "`wattbook login` signs in" in done.stderr
    assert done.stderr.count("\n") == 1


def test_users_are_looked_after_from_the_command_line(running: Desk) -> None:
    name = unique("ana")
    added = running.run("users", "add", name, "--role", "trader", "--trader-id", "trader_1", "--generate")
    password = added.stdout.split("Password: ")[1].split()[0]

    as_ana = {"WATTBOOK_USER": name, "WATTBOOK_PASSWORD": password}
    assert running.run("report", "trader_1", **as_ana).returncode == 0
    assert "not allowed" in running.run("report", "trader_2", **as_ana).stderr
    assert name in running.run("users", "list").stdout
    assert running.run("users", "disable", name).returncode == 0
    assert running.run("report", "trader_1", **as_ana).returncode == 1
    assert running.run("users", "enable", name).returncode == 0
    assert running.run("report", "trader_1", **as_ana).returncode == 0


def test_a_port_in_use_is_said_in_one_line(make_desk: MakeDesk) -> None:
    desk = make_desk()
    with socket.create_server(("127.0.0.1", desk.port + 1)):
        line = refused_up(desk, "--data", str(desk.data), "--port-base", str(desk.port))

    assert f"port {desk.port + 1} (for report pages) is in use" in line


def test_a_folder_that_cannot_be_written_is_said_in_one_line(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk()
    (tmp_path / "file").touch()

    line = refused_up(desk, "--data", str(tmp_path / "file" / "data"), "--port-base", str(desk.port))

    assert "cannot write to the data folder" in line


def test_the_same_folder_twice_is_refused(running: Desk, make_desk: MakeDesk) -> None:
    other = make_desk()

    line = refused_up(other, "--data", str(running.data), "--port-base", str(other.port))

    assert f"already runs on {running.data}, pid {running.supervisor.pid}, at {running.url}" in line
    assert running.is_ready()


def test_two_desks_run_side_by_side(running: Desk, make_desk: MakeDesk) -> None:
    other = make_desk()
    launched(other)
    one = trade(trader_id=unique("trader"))

    with running.client() as here, other.client() as there:
        here.added(one)
        assert len(here.trades(trader_id=one["trader_id"])) == 1
        assert there.trades(trader_id=one["trader_id"]) == []
    assert_stopped_cleanly(other)


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_works(make_desk: MakeDesk) -> None:
    desk = make_desk()
    launched(desk)
    with desk.client() as admin:
        one = trade()
        admin.added(one)
    family = desk.family()

    desk.supervisor.kill()
    desk.supervisor.wait(5)

    launched(desk)  # at once: it waits for the former services to see that they are alone
    assert not psutil.wait_procs(family, timeout=1)[1]
    with desk.client() as admin:
        assert [found["id"] for found in admin.trades(trader_id=one["trader_id"])] == [one["id"]]
    assert_stopped_cleanly(desk)
