"""The bank's control endpoint: what was handed out, and every fault on demand."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from wattbook.clock import Clock

from sandbox.bank.domain.faults import Faults
from sandbox.bank.domain.sizes import SOURCES, window_at
from sandbox.bank.usecases.bank import Bank
from sandbox.control import answer, body_of, control_app, in_range, one_of


class BankControl:
    """Handlers of the bank's control endpoint."""

    def __init__(self, bank: Bank, *, clock: Clock, dialect: str) -> None:
        """Control ``bank``."""
        self._bank, self._clock, self._dialect = bank, clock, dialect

    def app(self) -> Starlette:
        """The application that serves them."""
        return control_app(
            "bank",
            [
                ("GET", "/control/state", self.state, "size, dialect, windows, what was changed"),
                ("GET", "/control/stats", self.stats, "counts of everything handed out"),
                ("GET", "/control/windows", self.windows, "windows handed out: ?source=sepa|swift"),
                ("GET", "/control/faults", self.faults, "faults as they are"),
                ("POST", "/control/faults", self.set_faults, '{"crash_rate": 0.1, …} change some'),
                ("DELETE", "/control/faults", self.clear_faults, "nothing goes wrong any more"),
                ("POST", "/control/change-window", self.change_window,
                 '{"source": "swift", "window": 3600} it has other rows from now on, each fifth time none'),
                ("POST", "/control/new-companies", self.new_companies,
                 '{"count": 1} accounts of nobody known become companies\''),
                ("POST", "/control/move-account", self.move_account, "an account goes to another company"),
                ("POST", "/control/rates", self.rates,
                 '{"usd_shift": 1.1, "without": ["SGD"]} another rate table; {} is the true one again'),
            ],
        )  # fmt: skip

    async def state(self, _: Request) -> Response:
        """How it is."""
        data, changes = self._bank.data, self._bank.changes
        return answer(
            {
                "now": self._clock.now().isoformat(), "dialect": self._dialect, "size": data.size_name,
                "first_window": data.first_window, "last_window": data.last_window,
                "open_window": window_at(self._clock.now()), "versions": changes.versions,
                "late": sorted(changes.late), "new_companies": changes.new_companies, "moved": changes.moved,
                "usd_shift": changes.usd_shift, "without_rate": changes.without_rate,
                "faults": self._bank.faults.as_dict(), "crashes": changes.crashes,
            }
        )  # fmt: skip

    async def stats(self, _: Request) -> Response:
        """What happened."""
        return answer(self._bank.stats())

    async def windows(self, request: Request) -> Response:
        """Which windows went out."""
        return answer(self._bank.windows(one_of("source", request.query_params.get("source"), SOURCES)))

    async def faults(self, _: Request) -> Response:
        """Faults as they are."""
        return answer(self._bank.faults.as_dict())

    async def set_faults(self, request: Request) -> Response:
        """Change some."""
        return answer(self._bank.set_faults(await body_of(request)))

    async def clear_faults(self, _: Request) -> Response:
        """End all of them."""
        return answer(self._bank.set_faults(Faults().as_dict()))

    async def change_window(self, request: Request) -> Response:
        """Other rows in a window."""
        body: dict[str, Any] = await body_of(request, source="swift", window=0)
        source = one_of("source", body["source"], SOURCES)
        low, high = self._bank.data.first_window, window_at(self._clock.now())
        window = int(in_range("window", body["window"], low, high))
        return answer({"version": self._bank.change_window(source, window)})

    async def new_companies(self, request: Request) -> Response:
        """More companies."""
        body = await body_of(request, count=1)
        count = int(in_range("count", body["count"], 1, 1000))
        return answer({"new_companies": self._bank.add_companies(count)})

    async def move_account(self, request: Request) -> Response:
        """An account of another company."""
        await body_of(request)
        return answer(self._bank.move_account())

    async def rates(self, request: Request) -> Response:
        """Another rate table."""
        body = await body_of(request, usd_shift=1.0, without=[])
        self._bank.change_rates(usd_shift=body["usd_shift"], without=[str(each) for each in body["without"]])
        return answer({"usd_shift": body["usd_shift"], "without": body["without"]})
