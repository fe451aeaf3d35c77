"""The orderly stop, and nothing shared between two gateways."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import ECKey

from tests.support import engines
from tests.support.ports import free_port
from tests.support.trades import trade
from tests.support.waiting import wait_until
from tests.unit.gateway.started import Started


def refuses(port: int) -> bool:
    """Whether nobody new is let in."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.connect()
    except OSError:
        return True
    finally:
        connection.close()
    return False


def test_what_runs_is_finished_before_the_end(tmp_path: Path) -> None:
    with Started(tmp_path) as started, started.client() as client, ThreadPoolExecutor(1) as pool:
        client.get("/v1/me")
        book = started.owners.trades.hold
        book.clear()
        running = pool.submit(client.post, "/v1/trades", json=trade())
        wait_until(lambda: started.gateway.application._running == 1, timeout_s=5, what="it runs")

        started.begin_stop()
        wait_until(lambda: refuses(started.port), timeout_s=5, what="nobody new is let in")
        book.set()

        assert running.result(10).status_code == 200
        started.stop()


def test_a_kept_connection_is_told_of_the_end_before_it_is_closed(tmp_path: Path) -> None:
    """Or a request would cross with the closing, and nobody could say whether it was heard."""
    with Started(tmp_path, drain_s=20.0) as started:
        connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=5)

        def said() -> str | None:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            return answer.headers["Connection"]

        assert said() is None
        started.begin_stop()

        wait_until(lambda: said() == "close", timeout_s=5, what="an answer says that it is the last")
        started.stop()  # nobody else is connected, so there is nothing more to wait for


class Process:
    """``python -m gateway.app`` with settings of its own, in front of owners that nobody runs."""

    def __init__(self, folder: Path, **settings: str) -> None:
        key = folder / "key.pem"
        if not key.exists():
            key.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WATTBOOK_")}
        environment = {
            **kept,
            "WATTBOOK_GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "WATTBOOK_GATEWAY_STORE_URL": engines.store_url(folder, "gateway"),
            "WATTBOOK_SIGNING_KEY_FILE": str(key),
            "WATTBOOK_ADMIN_PASSWORD": "x",
            **settings,
        }
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "gateway.app"], env=environment, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.communicate()

    def wait_alive(self) -> None:
        """Until it answers."""
        url = f"http://127.0.0.1:{self.port}/healthz"
        wait_until(lambda: httpx.get(url, trust_env=False).status_code == 200, timeout_s=30, what="alive")

    def ended(self) -> tuple[int, str]:
        """Its exit status and what it said."""
        said = self.popen.communicate(timeout=30)[1]
        return self.popen.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, signum: signal.Signals) -> None:
    with Process(tmp_path) as process:
        process.wait_alive()
        process.popen.send_signal(signum)
        code, said = process.ended()

    assert code == 0
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Process(tmp_path, WATTBOOK_GATEWAY_LISTEN=address) as process:
            code, said = process.ended()

    assert code == 1
    assert said == f"gateway: cannot listen on {address}: address already in use\n"


@pytest.mark.slow
def test_a_store_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "stores").write_text("no folder")

    with Process(tmp_path, WATTBOOK_GATEWAY_STORE_URL=f"sqlite:///{tmp_path}/stores/gateway.db") as process:
        code, said = process.ended()

    assert code == 1
    assert said.startswith("gateway: the store gateway at ")
    assert said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"WATTBOOK_SIGNING_KEY_FILE": "nowhere.pem"},
            "WATTBOOK_SIGNING_KEY_FILE: nowhere.pem cannot be read",
        ),
        ({"WATTBOOK_SIGNING_KEY_FILE": "/dev/null"}, "WATTBOOK_SIGNING_KEY_FILE: /dev/null holds no EC"),
        ({"WATTBOOK_GATEWAY_STORE_URL": ""}, "WATTBOOK_GATEWAY_STORE_URL is not set"),
        ({"WATTBOOK_BODY_LIMIT_BYTES": "many"}, "WATTBOOK_BODY_LIMIT_BYTES: 'many' is not a whole number"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(
    tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    with Process(tmp_path, **settings) as process:
        code, said = process.ended()

    assert code == 78
    assert message in said
    assert "Traceback" not in said
