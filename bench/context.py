"""What every benchmark works with: products on folders that are thrown away, sizes, rows of results."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.data import Loaded, nightly_file
from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.live_desk import LiveDesk
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Sizes:
    """How much of everything; :data:`QUICK` proves that a benchmark runs and measures nothing."""

    seconds: float
    warm_up_s: float
    batch_trades: int
    nightly_rows: int
    bus_messages: int
    starts: int
    meter_readings: int


FULL = Sizes(
    seconds=15,
    warm_up_s=3,
    batch_trades=400_000,
    nightly_rows=1_000_000,
    bus_messages=20_000,
    starts=3,
    meter_readings=200_000,
)
QUICK = Sizes(
    seconds=1,
    warm_up_s=1,
    batch_trades=5_000,
    nightly_rows=10_000,
    bus_messages=500,
    starts=1,
    meter_readings=2_000,
)


@dataclass(frozen=True)
class Row:
    """One line of the table; ``met`` is None where the issue sets no goal."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None


def at_least(what: str, value: float, goal: float, unit: str) -> Row:
    return Row(what, f"{value:,.0f} {unit}", f"≥ {goal:,.0f} {unit}", value >= goal)


def at_most(what: str, value: float, goal: float, unit: str, *, decimals: int = 1) -> Row:
    return Row(what, f"{value:,.{decimals}f} {unit}", f"≤ {goal:,.{decimals}f} {unit}", value <= goal)


def plain(what: str, value: float, unit: str, *, decimals: int = 0) -> Row:
    return Row(what, f"{value:,.{decimals}f} {unit}")


@dataclass
class Context:
    """One run of benchmarks."""

    sizes: Sizes
    say: Callable[[str], None]
    folder: Path
    _loaded: Loaded | None = field(default=None)

    @contextmanager
    def product(self, folder: Path | None = None) -> Iterator[Desk]:
        """A started product, on an empty data folder unless told."""
        desk = Desk(folder or self.new_folder()).start()
        try:
            yield desk
            code = desk.stop()
            if code:
                raise RuntimeError(f"wattbook up ended with {code}:\n{desk.logs()}")
        finally:
            desk.kill_all()

    def new_folder(self) -> Path:
        """An empty one, thrown away with the rest."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    @contextmanager
    def live(self, *arguments: str, **settings: str) -> Iterator[LiveDesk]:
        """A started product with its sandbox, which trades only when it is told to."""
        quiet = {"WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN": "0", **settings}
        desk = LiveDesk(self.new_folder(), "--sandbox", *arguments, environment=quiet)
        try:
            desk.start()
            desk.wait_listeners(1)
            yield desk
            if code := desk.stop():
                raise RuntimeError(f"wattbook up ended with {code}:\n{desk.logs()}")
        finally:
            desk.kill_all()

    def loaded(self) -> Loaded:
        """A folder whose product holds the big book; filled through the drop folder where nobody did yet."""
        if self._loaded is None:
            self.say(f"filling a book with {self.sizes.nightly_rows:,} trades …")
            made = nightly_file(self.folder / "loaded", rows=self.sizes.nightly_rows)
            with self.product(made.folder) as desk, desk.client() as client:
                drop_and_wait(desk, made)
                wait_reported(client, made)
            self._loaded = made
        return self._loaded

    def keep(self, loaded: Loaded) -> None:
        """This folder holds the big book from now on."""
        self._loaded = loaded


def basic(desk: Desk) -> str:
    """The header that says the first user's name and password."""
    return "Basic " + base64.b64encode(f"admin:{desk.admin_password}".encode()).decode()


def drop_and_wait(desk: Desk, made: Loaded) -> float:
    """Rename the file into the inbox; seconds until it is in the archive."""
    target = desk.inbox / made.file.name
    archived = desk.archive / made.file.name
    began = time.perf_counter()
    made.file.rename(target)
    wait_until(archived.exists, timeout_s=600, what="the nightly file is archived", most_s=0.05)
    return time.perf_counter() - began


def wait_reported(client: Client, made: Loaded, *, timeout_s: float = 120) -> None:
    """Until every trade of the last row's trader is in the report: events come in booking order."""
    wait_until(
        lambda: client.report(made.last_trader, made.last_day)["total"]["trades"] >= made.last_count,
        timeout_s=timeout_s,
        what="the report shows the last trade",
        most_s=0.05,
    )
