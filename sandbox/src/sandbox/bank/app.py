"""How the bank is put together: settings, one :func:`build`, start and orderly stop."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from starlette.applications import Starlette
from wattbook.clock import Clock
from wattbook.process import load_settings_or_exit
from wattbook.settings import setting
from wattbook.telemetry import configure_logging

from sandbox.bank.api.wattbook import WattbookDialect
from sandbox.bank.domain.rates import MULTIPLY, READINGS
from sandbox.bank.domain.rows import Made
from sandbox.bank.domain.sizes import DEFAULT_WINDOWS, SIZES, window_at
from sandbox.bank.usecases.windows import Windows
from sandbox.hosting import http_served, listening_socket, run_until_stopped
from sandbox.world import WorldSettings, choice_problem, complain, listen_problem, trouble

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings(WorldSettings):
    """What the bank needs to know to start."""

    listen: str = setting("WATTBOOK_SANDBOX_BANK_LISTEN", "host:port of the API", default="127.0.0.1:8100")
    size: str = setting("SETTING", "small, medium, large or mega", default="small")
    token: str = setting(
        "WATTBOOK_SANDBOX_BANK_TOKEN", "what clients must show as bearer token; none: nothing", default="",
        secret=True,
    )  # fmt: skip
    since: str = setting(
        "WATTBOOK_SANDBOX_BANK_SINCE",
        "first day of the payments that it makes; none: four years back",
        default="",
    )
    rates: str = setting(
        "WATTBOOK_SANDBOX_BANK_RATES", "how the rate table reads: multiply, quoted", default=MULTIPLY
    )

    def __post_init__(self) -> None:
        """Name whatever is wrong.

        Raises:
            SettingsError: something is.
        """
        complain(
            *self.clock_problems(),
            listen_problem("WATTBOOK_SANDBOX_BANK_LISTEN", self.listen),
            choice_problem("SETTING", self.size, tuple(SIZES)),
            trouble("WATTBOOK_SANDBOX_BANK_SINCE", lambda: self.first_window),
            choice_problem("WATTBOOK_SANDBOX_BANK_RATES", self.rates, READINGS),
        )

    @property
    def first_window(self) -> int | None:
        """The window of the first day, where one is set.

        Raises:
            ValueError: it is no day.
        """
        return window_at(datetime.fromisoformat(f"{self.since}T00:00:00Z")) if self.since else None


def build(settings: Settings, *, clock: Clock) -> Starlette:
    """The API that the settings describe, over data that it makes itself."""
    first = settings.first_window
    if first is None:
        first = window_at(clock.now()) - DEFAULT_WINDOWS + 1
    data = Made(SIZES[settings.size], seed=settings.seed, first_window=first)
    dialect = WattbookDialect(Windows(data), clock=clock, token=settings.token, rates=settings.rates)
    return dialect.app()


@dataclass(frozen=True)
class Served:
    """A served bank and where it is."""

    url: str


@contextlib.asynccontextmanager
async def served(settings: Settings, *, clock: Clock) -> AsyncIterator[Served]:
    """The bank on its sockets for the length of the block."""
    api_socket = listening_socket(settings.listen)
    async with http_served(build(settings, clock=clock), api_socket) as port:
        yield Served(f"http://127.0.0.1:{port}")


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Served]:
    """The bank on its sockets, by its own clock."""
    async with served(settings, clock=settings.simulated_clock()) as world:
        _log.info("the bank is open", extra={"api": settings.listen})
        yield world


def main() -> None:
    """Run the bank until it is told to stop."""
    settings = load_settings_or_exit(Settings, os.environ)
    configure_logging("sandbox-bank", level=settings.log_level, json_lines=settings.log_json)
    run_until_stopped(lambda: running(settings), with_parent=settings.stop_with_parent)
