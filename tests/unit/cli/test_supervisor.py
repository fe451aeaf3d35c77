"""The supervisor over stand-ins for the services, as a real process with real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.ports import free_port_base
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


class Supervised:
    """A running supervisor and what it says."""

    def __init__(self, folder: Path, services: list[dict[str, object]]) -> None:
        self.folder = folder
        table = folder / "table.json"
        table.write_text(json.dumps(services))
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "run_supervisor.py"), str(table), str(folder)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.output.read_text()

    def notes(self) -> list[str]:
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def pid_of(self, name: str) -> int:
        state = json.loads((self.folder / "state.json").read_text())
        return next(service["pid"] for service in state["services"] if service["name"] == name) or 0

    def wait_said(self, words: str, timeout_s: float = 15.0) -> "Supervised":
        wait_until(lambda: words in self.said, timeout_s=timeout_s, what=f"it says {words!r}: {self.said}")
        return self

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(15)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    made: list[Supervised] = []

    def run(*moods: tuple[str, ...]) -> Supervised:
        base = free_port_base()
        names = ("first", "second", "third")
        rows = [
            {"name": name, "port": base + number, "more": list(mood)}
            for number, (name, mood) in enumerate(zip(names, moods, strict=False))
        ]
        made.append(Supervised(tmp_path, rows))
        return made[-1]

    yield run
    for each in made:
        if each.process.poll() is None:
            family = each.family()
            each.process.kill()
            for member in family:
                with_gone_ones_left_out(member)
            each.process.wait(5)


def with_gone_ones_left_out(member: psutil.Process) -> None:
    try:
        member.kill()
    except psutil.NoSuchProcess:
        return


def still_there(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


def test_services_stop_last_to_first_on_ctrl_c(supervise: Callable[..., Supervised]) -> None:
    running = supervise((), (), ()).wait_said("ready after")
    pids = [child.pid for child in running.family()]

    code = running.stop(signal.SIGINT)

    assert code == 0
    assert running.notes()[-3:] == ["third stopped", "second stopped", "first stopped"]
    assert not still_there(pids)
    assert "Traceback" not in running.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_requests_to_stop_do_the_same(supervise: Callable[..., Supervised], number: int) -> None:
    running = supervise((), ()).wait_said("ready after")

    assert running.stop(number) == 0
    assert running.notes()[-2:] == ["second stopped", "first stopped"]


def test_a_ctrl_c_of_the_terminal_does_not_reach_the_services(supervise: Callable[..., Supervised]) -> None:
    running = supervise(
        (),
    ).wait_said("ready after")

    assert os.getpgid(running.pid_of("first")) != os.getpgid(running.process.pid)


def test_a_stop_while_starting_stops_what_had_started(supervise: Callable[..., Supervised]) -> None:
    running = supervise((), ("--mood", "silent"))
    wait_until(lambda: len(running.notes()) == 2, timeout_s=10, what="both started")

    assert running.stop() == 0
    assert running.notes()[-2:] == ["second stopped", "first stopped"]


def test_a_service_that_dies_is_started_again(supervise: Callable[..., Supervised]) -> None:
    running = supervise((), ()).wait_said("ready after")
    killed = running.pid_of("second")

    os.kill(killed, signal.SIGKILL)

    running.wait_said("second ended (killed by SIGKILL); starting it again").wait_said("second is back")
    assert running.pid_of("second") not in (0, killed)
    assert running.stop() == 0


def test_what_a_dead_service_left_behind_is_ended_before_it_starts_again(
    supervise: Callable[..., Supervised],
) -> None:
    running = supervise(("--with-worker",)).wait_said("ready after")
    worker = int(next(line for line in running.notes() if "worker" in line).split()[-1])

    os.kill(running.pid_of("first"), signal.SIGKILL)

    running.wait_said("first is back")
    assert not still_there([worker])


def test_a_service_that_never_starts_ends_the_start_with_its_last_words(
    supervise: Callable[..., Supervised],
) -> None:
    running = supervise((), ("--mood", "dies"))

    assert running.process.wait(15) == 1
    assert running.said.count("second ended (exit 1)") == 2
    assert "second | the reason it died" in running.said
    assert "stopped: second does not start (exit 1)" in running.said
    assert "first stopped" in running.notes()


def test_bad_settings_are_not_tried_twice(supervise: Callable[..., Supervised]) -> None:
    running = supervise(("--mood", "settings"))

    assert running.process.wait(15) == 1
    assert running.notes() == ["first started"]
    assert "first | setting: WATTBOOK_X is not set" in running.said


def test_a_service_that_never_gets_healthy_ends_the_start(supervise: Callable[..., Supervised]) -> None:
    running = supervise((), ("--mood", "silent"))

    assert running.process.wait(20) == 1
    assert "not ready after 4 s: second" in running.said


def test_a_service_that_does_not_stop_is_ended_with_a_warning(supervise: Callable[..., Supervised]) -> None:
    running = supervise((), ("--mood", "deaf")).wait_said("ready after")

    assert running.stop() == 0
    assert "second did not stop within 2 s; ended it" in running.said
    assert running.notes()[-1] == "first stopped"


def test_a_second_ctrl_c_hurries(supervise: Callable[..., Supervised]) -> None:
    running = supervise((), ("--mood", "deaf")).wait_said("ready after")
    running.process.send_signal(signal.SIGINT)
    running.wait_said("Stopping")
    time.sleep(0.6)  # a second request within half a second counts as the same one

    assert running.stop() == 0
    assert "second did not stop within 0.2 s; ended it" in running.said


def test_a_killed_supervisor_leaves_nothing_behind(supervise: Callable[..., Supervised]) -> None:
    running = supervise((), ()).wait_said("ready after")
    pids = [child.pid for child in running.family()]

    running.stop(signal.SIGKILL)

    wait_until(lambda: not still_there(pids), timeout_s=10, what="no service is left")


def test_warnings_are_shown_once_and_news_are_left_to_the_log(supervise: Callable[..., Supervised]) -> None:
    running = supervise(("--mood", "warns")).wait_said("ready after")

    os.kill(running.pid_of("first"), signal.SIGUSR1)

    running.wait_said("warning: first: the wind has turned")
    assert running.stop() == 0
    assert running.said.count("the wind has turned") == 1
    assert "not for you" not in running.said
