"""A started product with its sandbox: the exchange and the provider at hand, to be told and asked."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx

from tests.support.client import Client, exact
from tests.support.desk import Desk
from tests.support.waiting import wait_until

BOOKED_S = 30.0


class Live:
    """A product whose sandbox can be told and asked; says nothing of how its processes run."""

    port: int
    url: str
    pages_url: str
    admin_password: str

    def client(self) -> Client:
        """A connection as the first user."""
        raise NotImplementedError

    def exchange(self, method: str, what: str, **body: Any) -> Any:
        return self._control(16, method, what, body)

    def provider(self, what: str) -> Any:
        return self._control(18, "GET", what, {})

    def bank(self, what: str, **body: Any) -> Any:
        """Tell the bank something."""
        return self._control(21, "POST", what, body)

    @property
    def exchange_url(self) -> str:
        return f"ws://127.0.0.1:{self.port + 15}"

    def faults(self, **faults: Any) -> None:
        """Change some faults of the exchange; none: end all."""
        self.exchange("POST" if faults else "DELETE", "faults", **faults)

    def provider_faults(self, **faults: Any) -> None:
        """The same for the provider."""
        self._control(18, "POST" if faults else "DELETE", "faults", faults)

    def sent(self) -> list[dict[str, Any]]:
        """All trades of the exchange, each with how many listeners it was handed to."""
        trades: list[dict[str, Any]] = []
        after = 0
        while after is not None:
            page = self.exchange("GET", f"sent?after_seq={after}&limit=10000")
            trades += page["trades"]
            after = page["next_after_seq"]
        return trades

    def get(self, path: str, **query: str) -> Any:
        """A good answer of the gateway, decimals exact."""
        with self.client() as admin:
            answer = admin.http.get(path, params=query)
            assert answer.status_code == 200, answer.text
            return exact(answer.text)

    def wait_listeners(self, count: int) -> None:
        wait_until(
            lambda: self.exchange("GET", "stats")["listeners"] == count,
            timeout_s=BOOKED_S, what=f"the exchange has {count} listeners",
        )  # fmt: skip

    def emit(self, count: int, **how: Any) -> list[str]:
        """Exactly so many trades now; their ids."""
        return list(self.exchange("POST", "emit", count=count, **how)["ids"])

    def wait_booked(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """Until all of these are booked; these trades as served, by id, each once."""

        def found() -> list[dict[str, Any]]:
            with self.client() as admin:
                served = [trade for trade in admin.trades() if trade["id"] in wanted]
            return served if {trade["id"] for trade in served} == wanted else []

        wanted = set(ids)
        served = wait_until(found, timeout_s=BOOKED_S, what=f"{len(wanted)} trades are booked")
        assert set(Counter(trade["id"] for trade in served).values()) == {1}
        return {trade["id"]: trade for trade in served}

    def _control(self, offset: int, method: str, what: str, body: dict[str, Any]) -> Any:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.port + offset}", timeout=60, trust_env=False, verify=False
        ) as http:
            answer = http.request(method, f"/control/{what}", json=body or None)
        assert answer.status_code == 200, answer.text
        return answer.json()


class LiveDesk(Desk, Live):
    """A product that ``wattbook up`` started, with the sandbox that it may have started."""

    usual = ()

    def wait_said(self, words: str) -> None:
        wait_until(lambda: words in self.log.read_text(), timeout_s=60, what=f"it says {words!r}")

    def pid_of(self, service: str) -> int | None:
        """The process of a service, while it is healthy."""
        told = json.loads(self.run("status", "--data", str(self.data), "--json").stdout)
        found = next(process for process in told["processes"] if process["name"] == service)
        return int(found["pid"]) if found["health"] == "healthy" else None

    @property
    def bus_url(self) -> str:
        return self.environment.get("WATTBOOK_BUS_URL", f"sqlite:///{self.data}/bus/bus.db")


@contextlib.contextmanager
def running(desk: LiveDesk) -> Iterator[LiveDesk]:
    try:
        desk.start()
        desk.wait_said("Ctrl-C stops.")
        yield desk
        assert desk.stop() == 0, desk.logs()
        faults = [line for line in desk.logs(lines=10_000).splitlines() if "Traceback" in line]
        assert not faults, faults[:3]
    finally:
        desk.kill_all()
