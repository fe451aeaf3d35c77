"""How the bank is put together: settings, one :func:`build`, start and orderly stop."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from starlette.applications import Starlette
from wattbook.clock import Clock
from wattbook.errors import NotFound, Unavailable
from wattbook.process import EXIT_BAD_SETTINGS, load_settings_or_exit, stop_on_signals
from wattbook.settings import SettingsError, setting
from wattbook.telemetry import configure_logging

from sandbox.bank.api.control import BankControl
from sandbox.bank.api.delivery import Delivery
from sandbox.bank.api.original import OriginalDialect
from sandbox.bank.api.wattbook import WattbookDialect
from sandbox.bank.domain.faults import Faults
from sandbox.bank.domain.rates import MULTIPLY, QUOTED
from sandbox.bank.domain.rows import DataSet, Made
from sandbox.bank.domain.sizes import DEFAULT_WINDOWS, SIZES, window_at
from sandbox.bank.usecases.bank import Bank
from sandbox.changes import changes_from_text
from sandbox.hosting import http_served, listening_socket, run_until_stopped
from sandbox.world import WorldSettings, complain, listen_problem, range_problem, trouble

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_log = logging.getLogger(__name__)
_LOOK_S = 1.0  # between two looks for a database that is not up


@dataclass(frozen=True, kw_only=True)
class Settings(WorldSettings):
    """What the bank needs to know to start."""

    listen: str = setting("WATTBOOK_SANDBOX_BANK_LISTEN", "host:port of the API", default="127.0.0.1:8100")
    source: str = setting(
        "WATTBOOK_SANDBOX_BANK_SOURCE",
        "a maker's folder or database (sqlite:///…, postgresql://…); none: it makes what it hands out",
        default="",
        secret=True,  # an address may hold a password
    )
    postgres_hostname: str = setting(
        "POSTGRES_HOSTNAME", "database's host, where it is the source", default=""
    )
    postgres_user: str = setting("POSTGRES_USER", "database's user", default="")
    postgres_password: str = setting("POSTGRES_PASSWORD", "its password", default="", secret=True)
    postgres_db: str = setting("POSTGRES_DB", "its name", default="")
    size: Literal["small", "medium", "large", "mega"] | None = setting(
        "SETTING", "size that must be there, or is made: small, medium, large, mega", default=None
    )
    token: str = setting(
        "WATTBOOK_SANDBOX_BANK_TOKEN", "what clients must show as bearer token; none: nothing", default="",
        secret=True,
    )  # fmt: skip
    since: str = setting(
        "WATTBOOK_SANDBOX_BANK_SINCE",
        "first day of the payments that it makes; none: four years back",
        default="",
    )
    control: str = setting(
        "WATTBOOK_SANDBOX_BANK_CONTROL_LISTEN", "host:port of control", default="127.0.0.1:8101"
    )
    dialect: Literal["wattbook", "original"] = setting(
        "WATTBOOK_SANDBOX_BANK_DIALECT",
        "the API as Wattbook likes it, or as the original has it",
        default="wattbook",
    )
    rates: Literal["multiply", "quoted"] | None = setting(
        "WATTBOOK_SANDBOX_BANK_RATES", "how the rate table reads; none: as the dialect does", default=None
    )
    hang_real_s: float = setting(
        "WATTBOOK_SANDBOX_BANK_HANG_REAL_S", "how long the original hangs where nothing is left", default=30.0
    )
    faults: str = setting("WATTBOOK_SANDBOX_BANK_FAULTS", "name=value,… faults from the start", default="")
    carried: str = setting(
        "WATTBOOK_SANDBOX_BANK_CARRIED", "what it tells itself over a crash on demand", default=""
    )

    def __post_init__(self) -> None:
        """Name whatever is wrong.

        Raises:
            SettingsError: something is.
        """
        complain(
            *self.clock_problems(),
            listen_problem("WATTBOOK_SANDBOX_BANK_LISTEN", self.listen),
            trouble("WATTBOOK_SANDBOX_BANK_SOURCE", lambda: "://" in self.source and self.database),
            trouble("WATTBOOK_SANDBOX_BANK_SINCE", lambda: self.first_window),
            listen_problem("WATTBOOK_SANDBOX_BANK_CONTROL_LISTEN", self.control, loopback=True),
            range_problem("WATTBOOK_SANDBOX_BANK_HANG_REAL_S", self.hang_real_s, 0, 600),
            trouble("WATTBOOK_SANDBOX_BANK_FAULTS", lambda: Faults().changed(changes_from_text(self.faults))),
        )

    @property
    def database(self) -> URL | None:
        """The database that is the source.

        Raises:
            InvalidInput: the address is none.
        """
        given = self.source if "://" in self.source else None
        if self.source and not given:
            return None
        from sandbox.bank.store.database import database_url

        names = ("hostname", "user", "password", "db")
        environment = {f"POSTGRES_{name.upper()}": getattr(self, f"postgres_{name}") for name in names}
        return database_url(environment, given)

    @property
    def first_window(self) -> int | None:
        """The window of the first day, where one is set.

        Raises:
            ValueError: it is no day.
        """
        return window_at(datetime.fromisoformat(f"{self.since}T00:00:00Z")) if self.since else None


def data_set(settings: Settings, *, clock: Clock) -> DataSet:
    """What is handed out.

    Raises:
        SettingsError: the source holds no data set, or one of another size.
        Unavailable: the database cannot be reached.
    """
    if not settings.source and not settings.postgres_hostname:
        first = settings.first_window
        if first is None:
            first = window_at(clock.now()) - DEFAULT_WINDOWS + 1
        return Made(SIZES[settings.size or "small"], seed=settings.seed, first_window=first)
    try:
        found = _opened(settings)
    except NotFound as error:
        missing = f"size {settings.size} is missing: " if settings.size else ""
        raise SettingsError([f"WATTBOOK_SANDBOX_BANK_SOURCE: {missing}{error}"]) from None
    if settings.size not in (None, found.size_name):
        where = settings.database.render_as_string() if settings.database else settings.source
        raise SettingsError(
            [f"SETTING: size {settings.size} is missing: {where} holds size {found.size_name}"]
        )
    return found


def _opened(settings: Settings) -> DataSet:
    """The folder or the database of the settings; their readers load slowly, and a desk needs none."""
    if settings.database:
        from sandbox.bank.store.database import Database

        return Database(settings.database)
    from sandbox.bank.store.folder import Folder

    return Folder(Path(settings.source))


def build(settings: Settings, data: DataSet) -> Bank:
    """The bank that the settings describe."""
    bank = Bank(data, seed=settings.seed, carried=settings.carried)
    if not settings.carried:
        bank.set_faults(changes_from_text(settings.faults))
    return bank


def api_of(settings: Settings, bank: Bank, *, clock: Clock, crash: Callable[[], None]) -> Starlette:
    """Its API in the dialect of the settings; ``crash`` ends the process."""
    delivery = Delivery(bank, token=settings.token, crash=crash)
    if settings.dialect == "original":
        return OriginalDialect(
            bank, delivery, clock=clock, rates=settings.rates or QUOTED, hang_real_s=settings.hang_real_s
        ).app()
    return WattbookDialect(bank, delivery, clock=clock, rates=settings.rates or MULTIPLY).app()


@dataclass(frozen=True)
class Served:
    """A served bank and where it is."""

    bank: Bank
    url: str
    control_url: str


@contextlib.asynccontextmanager
async def served(
    settings: Settings, data: DataSet, *, clock: Clock, crash: Callable[[Bank], None] | None = None
) -> AsyncIterator[Served]:
    """The bank on its sockets for the length of the block; without ``crash`` it never ends the process."""
    bank = build(settings, data)
    api_socket, control_socket = listening_socket(settings.listen), listening_socket(settings.control)
    api = api_of(settings, bank, clock=clock, crash=lambda: crash(bank) if crash else None)
    control = BankControl(bank, clock=clock, dialect=settings.dialect).app()
    async with http_served(control, control_socket) as control_port, http_served(api, api_socket) as port:
        yield Served(bank, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{control_port}")


def _crash(bank: Bank) -> None:
    """End at once, connections and all, and begin again as the same process."""
    environment = {**os.environ, "WATTBOOK_SANDBOX_BANK_CARRIED": bank.carried()}
    os.execve(sys.executable, [sys.executable, "-m", "sandbox.bank", *sys.argv[1:]], environment)  # noqa: S606


@contextlib.asynccontextmanager
async def running(settings: Settings, data: DataSet, *, clock: Clock) -> AsyncIterator[Served]:
    """The bank on its sockets, by its own clock."""
    async with served(settings, data, clock=clock, crash=_crash) as world:
        _log.info("the bank is open", extra={"api": settings.listen, "control": settings.control})
        yield world


def main(arguments: Sequence[str] = ()) -> None:
    """Run a command; without one, the bank until it is told to stop."""
    if arguments and arguments[0] in {"make", "key"}:
        from sandbox.bank.api.commands import run  # slow to load, and not needed to serve

        sys.exit(run(arguments, os.environ))
    settings = load_settings_or_exit(Settings, {**os.environ, **_served_by(arguments)})
    configure_logging("sandbox-bank", level=settings.log_level, json_lines=settings.log_json)
    clock = settings.simulated_clock()
    try:
        data = _waited_for(settings, clock=clock)
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        sys.exit(EXIT_BAD_SETTINGS)
    run_until_stopped(lambda: running(settings, data, clock=clock), with_parent=settings.stop_with_parent)


def _waited_for(settings: Settings, *, clock: Clock) -> DataSet:
    """What is handed out, once its database is up.

    Raises:
        SettingsError: as :func:`data_set`.
    """
    stopping = stop_on_signals()
    while True:
        try:
            return data_set(settings, clock=clock)
        except Unavailable as error:
            _log.warning("waiting for the database", extra={"error": str(error)})
        if stopping.wait(_LOOK_S):
            sys.exit(0)


def _served_by(arguments: Sequence[str]) -> dict[str, str]:
    """Settings that are given as arguments instead."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.bank", description="Hand out cash-flow data as a bank does; or make some.",
        epilog="Everything else is a setting in the environment.",
    )  # fmt: skip
    parser.add_argument("command", nargs="?", choices=["serve", "make", "key"], default="serve")
    parser.add_argument("--source", metavar="FOLDER|URL", help="what a maker made; none: made as asked for")
    parser.add_argument("--dialect", choices=["wattbook", "original"])
    given = vars(parser.parse_args(arguments))
    return {
        f"WATTBOOK_SANDBOX_BANK_{name.upper()}": given[name] for name in ("source", "dialect") if given[name]
    }
