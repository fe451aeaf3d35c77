"""How the exchange is put together: settings, one :func:`build`, start and orderly stop."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from wattbook.clock import Clock
from wattbook.service import prepared
from wattbook.settings import setting

from sandbox.changes import changes_from_text
from sandbox.exchange.api.control import ExchangeControl
from sandbox.exchange.api.feed import Feed
from sandbox.exchange.domain.faults import Faults
from sandbox.exchange.domain.trades import ENVELOPE_STYLES, FRACTION_DIGITS, TIME_STYLES, FrameStyle
from sandbox.exchange.usecases import Exchange
from sandbox.exchange.usecases.exchange import MOST_TRADES_PER_MIN, ExchangeOptions
from sandbox.hosting import http_served, in_background, listening_socket, repeat, run_until_stopped
from sandbox.world import (
    WorldSettings,
    choice_problem,
    complain,
    listen_problem,
    range_problem,
    trouble,
)

_log = logging.getLogger(__name__)
_LOOK_S = 0.02  # the longest real wait between two looks at what is due
_UNTRACK_TRADES = 50_000
_DESK = ("trader_1", "trader_2", "trader_3", "trader_4", "trader_5", "trader_6")


@dataclass(frozen=True, kw_only=True)
class Settings(WorldSettings):
    """What the exchange needs to know to start."""

    files: Path = setting("WATTBOOK_SANDBOX_EXCHANGE_FILES", "folder for nightly files")  # a field
    listen: str = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_LISTEN", "host:port of the websocket", default="127.0.0.1:8095"
    )
    control: str = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_CONTROL_LISTEN", "host:port of the control", default="127.0.0.1:8096"
    )
    trades_per_min: float = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN", "trades a simulated minute; 0 pauses", default=100.0
    )
    traders: tuple[str, ...] = setting("WATTBOOK_SANDBOX_EXCHANGE_TRADERS", "our traders' ids", default=_DESK)
    envelope: str = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_ENVELOPE",
        "trade_confirmation, deal_confirmation, mixed",
        default="trade_confirmation",
    )
    time_style: str = setting("WATTBOOK_SANDBOX_EXCHANGE_TIME_STYLE", "z, offset, mixed", default="z")
    fraction_digits: int = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_FRACTION_DIGITS", "0, 3 or 6 decimals of a second", default=0
    )
    id_prefix: str = setting("WATTBOOK_SANDBOX_EXCHANGE_ID_PREFIX", "how trade ids begin", default="t_")
    nightly_file: bool = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_NIGHTLY_FILE", "write it at midnight", default=True
    )
    journal: Path | None = setting(  # a field
        "WATTBOOK_SANDBOX_EXCHANGE_JOURNAL",
        "folder that remembers each day's rows over a restart",
        default=None,
    )
    final_newline: bool = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_FILE_FINAL_NEWLINE", "end its last line", default=False
    )
    keep_trades: int = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_KEEP_TRADES", "trades remembered", default=2_000_000
    )
    faults: str = setting(
        "WATTBOOK_SANDBOX_EXCHANGE_FAULTS", "name=value,… faults from the start", default=""
    )

    def __post_init__(self) -> None:
        """Name whatever is wrong.

        Raises:
            SettingsError: something is.
        """
        complain(
            *self.clock_problems(),
            listen_problem("WATTBOOK_SANDBOX_EXCHANGE_LISTEN", self.listen),
            listen_problem("WATTBOOK_SANDBOX_EXCHANGE_CONTROL_LISTEN", self.control, loopback=True),
            range_problem(
                "WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN", self.trades_per_min, 0, MOST_TRADES_PER_MIN
            ),
            range_problem("WATTBOOK_SANDBOX_EXCHANGE_KEEP_TRADES", self.keep_trades, 1, 100_000_000),
            choice_problem("WATTBOOK_SANDBOX_EXCHANGE_ENVELOPE", self.envelope, ENVELOPE_STYLES),
            choice_problem("WATTBOOK_SANDBOX_EXCHANGE_TIME_STYLE", self.time_style, TIME_STYLES),
            choice_problem(
                "WATTBOOK_SANDBOX_EXCHANGE_FRACTION_DIGITS", self.fraction_digits, FRACTION_DIGITS
            ),
            None if self.traders else "WATTBOOK_SANDBOX_EXCHANGE_TRADERS: names nobody",
            trouble(
                "WATTBOOK_SANDBOX_EXCHANGE_FAULTS", lambda: Faults().changed(changes_from_text(self.faults))
            ),
        )


def build(settings: Settings, *, clock: Clock) -> Exchange:
    """The exchange that the settings describe, open at the clock's time and not yet trading."""
    style = FrameStyle(settings.envelope, settings.time_style, settings.fraction_digits)
    options = ExchangeOptions(
        seed=settings.seed, files=settings.files, traders=settings.traders, style=style,
        id_prefix=settings.id_prefix, trades_per_min=settings.trades_per_min,
        keep_trades=settings.keep_trades, file_final_newline=settings.final_newline,
        nightly_file=settings.nightly_file, journal=settings.journal,
    )  # fmt: skip
    exchange = Exchange(options, now=clock.now())
    exchange.set_faults(changes_from_text(settings.faults), now=clock.now())
    return exchange


@dataclass(frozen=True)
class Served:
    """A served exchange and where it is."""

    exchange: Exchange
    url: str
    control_url: str


@contextlib.asynccontextmanager
async def served(settings: Settings, *, clock: Clock) -> AsyncIterator[Served]:
    """The exchange on its sockets for the length of the block; :meth:`Exchange.step` moves it."""
    feed_socket, control_socket = listening_socket(settings.listen), listening_socket(settings.control)
    exchange = build(settings, clock=clock)
    control = ExchangeControl(exchange, clock=clock).app()
    try:
        async with (
            http_served(control, control_socket) as control_port,
            Feed(exchange, clock=clock).served(feed_socket) as port,
        ):
            yield Served(exchange, f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{control_port}")
    finally:
        exchange.files.stop()


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Served]:
    """The exchange on its sockets, trading by its own clock."""
    clock = settings.simulated_clock()

    async with served(settings, clock=clock) as world:
        exchange = world.exchange
        exchange.prepare(clock.now())
        if settings.trades_per_min:
            exchange.run(now=clock.now())

        untracked_seq = 0

        def step() -> float:
            nonlocal untracked_seq
            exchange.step(clock.now())
            if exchange.sent.last_seq - untracked_seq >= _UNTRACK_TRADES:
                # Or the garbage collector walks a million remembered trades while listeners wait.
                gc.freeze()
                untracked_seq = exchange.sent.last_seq
            due = exchange.next_due
            if due is None:
                return _LOOK_S
            return min(max(clock.real_s((due - clock.now()).total_seconds()), 0.0), _LOOK_S)

        _log.info("the exchange is open", extra={"feed": settings.listen, "control": settings.control})
        async with in_background(repeat(step)):
            yield world


def main() -> None:
    """Run the exchange until it is told to stop."""
    settings = prepared("sandbox-exchange", Settings, os.environ)
    run_until_stopped(lambda: running(settings), with_parent=settings.stop_with_parent)
