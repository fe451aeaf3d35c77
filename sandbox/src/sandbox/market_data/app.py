"""How the provider is put together: settings, one :func:`build`, start and orderly stop."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from wattbook.clock import Clock
from wattbook.service import prepared
from wattbook.settings import setting

from sandbox.changes import changes_from_text
from sandbox.hosting import http_served, listening_socket, run_until_stopped
from sandbox.market_data.api.control import ProviderControl
from sandbox.market_data.api.provider import provider_app
from sandbox.market_data.domain.faults import Faults
from sandbox.market_data.domain.prices import NO_PRICE_STYLES, UNIT_STYLES, AnswerStyle, Schedule
from sandbox.market_data.usecases import Provider, ProviderOptions
from sandbox.market_data.usecases.provider import PATH
from sandbox.world import (
    WorldSettings,
    choice_problem,
    complain,
    listen_problem,
    range_problem,
    trouble,
)

_log = logging.getLogger(__name__)
_PATHS = {"both": (PATH, f"/v1{PATH}"), "v1": (f"/v1{PATH}",), "bare": (PATH,)}
_TIME_STYLES = ("z", "offset", "mixed")


@dataclass(frozen=True, kw_only=True)
class Settings(WorldSettings):
    """What the provider needs to know to start."""

    listen: str = setting(
        "WATTBOOK_SANDBOX_MARKET_DATA_LISTEN", "host:port of the API", default="127.0.0.1:8097"
    )
    control: str = setting(
        "WATTBOOK_SANDBOX_MARKET_DATA_CONTROL_LISTEN", "host:port of control", default="127.0.0.1:8098"
    )
    per_minute: int = setting("WATTBOOK_SANDBOX_MARKET_DATA_PER_MINUTE", "requests in any minute", default=50)
    per_hour: int = setting("WATTBOOK_SANDBOX_MARKET_DATA_PER_HOUR", "requests in any hour", default=1000)
    latest_s: float = setting(
        "WATTBOOK_SANDBOX_MARKET_DATA_LATEST_S", "how late a publication may be", default=30.0
    )
    cycle_offset_s: float = setting(
        "WATTBOOK_SANDBOX_MARKET_DATA_CYCLE_OFFSET_S", "cycles after the full ten minutes", default=0.0
    )
    first_trade_within_min: int = setting(
        "WATTBOOK_SANDBOX_MARKET_DATA_FIRST_TRADE_WITHIN_MIN", "from opening to first trade", default=180
    )
    base: str = setting("WATTBOOK_SANDBOX_MARKET_DATA_BASE", "both, v1, bare", default="both")
    unit: str = setting("WATTBOOK_SANDBOX_MARKET_DATA_UNIT", "euro, euro/mwh, mixed", default="euro")
    time_style: str = setting("WATTBOOK_SANDBOX_MARKET_DATA_TIME_STYLE", "z, offset, mixed", default="z")
    fraction_digits: int = setting(
        "WATTBOOK_SANDBOX_MARKET_DATA_FRACTION_DIGITS", "0, 3 or 6 decimals of a second", default=0
    )
    no_price: str = setting(
        "WATTBOOK_SANDBOX_MARKET_DATA_NO_PRICE", "404, absent, null, mixed", default="404"
    )
    faults: str = setting(
        "WATTBOOK_SANDBOX_MARKET_DATA_FAULTS", "name=value,… faults from the start", default=""
    )

    def __post_init__(self) -> None:
        """Name whatever is wrong.

        Raises:
            SettingsError: something is.
        """
        name = "WATTBOOK_SANDBOX_MARKET_DATA_"
        complain(
            *self.clock_problems(),
            listen_problem(f"{name}LISTEN", self.listen),
            listen_problem(f"{name}CONTROL_LISTEN", self.control, loopback=True),
            range_problem(f"{name}PER_MINUTE", self.per_minute, 1, 1_000_000),
            range_problem(f"{name}PER_HOUR", self.per_hour, 1, 10_000_000),
            range_problem(f"{name}LATEST_S", self.latest_s, 0, 599),
            range_problem(f"{name}CYCLE_OFFSET_S", self.cycle_offset_s, 0, 599),
            range_problem(f"{name}FIRST_TRADE_WITHIN_MIN", self.first_trade_within_min, 0, 2880),
            choice_problem(f"{name}BASE", self.base, tuple(_PATHS)),
            choice_problem(f"{name}UNIT", self.unit, UNIT_STYLES),
            choice_problem(f"{name}TIME_STYLE", self.time_style, _TIME_STYLES),
            choice_problem(f"{name}FRACTION_DIGITS", self.fraction_digits, (0, 3, 6)),
            choice_problem(f"{name}NO_PRICE", self.no_price, (*NO_PRICE_STYLES, "mixed")),
            trouble(f"{name}FAULTS", lambda: Faults().changed(changes_from_text(self.faults))),
        )


def build(settings: Settings, *, clock: Clock) -> Provider:
    """The provider that the settings describe, open at the clock's time."""
    options = ProviderOptions(
        seed=settings.seed,
        style=AnswerStyle(settings.unit, settings.time_style, settings.no_price, settings.fraction_digits),
        schedule=Schedule(settings.seed, timedelta(seconds=settings.cycle_offset_s), settings.latest_s),
        per_minute=settings.per_minute,
        per_hour=settings.per_hour,
        first_trade_within_min=settings.first_trade_within_min,
        paths=_PATHS[settings.base],
    )
    provider = Provider(options, now=clock.now())
    provider.set_faults(changes_from_text(settings.faults), now=clock.now())
    return provider


@dataclass(frozen=True)
class Served:
    """A served provider and where it is."""

    provider: Provider
    url: str
    control_url: str


@contextlib.asynccontextmanager
async def served(settings: Settings, *, clock: Clock) -> AsyncIterator[Served]:
    """The provider on its sockets for the length of the block."""
    api_socket, control_socket = listening_socket(settings.listen), listening_socket(settings.control)
    provider = build(settings, clock=clock)
    control = ProviderControl(provider, clock=clock).app()
    async with (
        http_served(control, control_socket) as control_port,
        http_served(provider_app(provider, clock=clock), api_socket) as port,
    ):
        yield Served(provider, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{control_port}")


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Served]:
    """The provider on its sockets, by its own clock."""
    clock = settings.simulated_clock()
    async with served(settings, clock=clock) as world:
        world.provider.prepare(clock.now())
        _log.info("the provider is open", extra={"api": settings.listen, "control": settings.control})
        yield world


def main() -> None:
    """Run the provider until it is told to stop."""
    settings = prepared("sandbox-market-data", Settings, os.environ)
    run_until_stopped(lambda: running(settings), with_parent=settings.stop_with_parent)
