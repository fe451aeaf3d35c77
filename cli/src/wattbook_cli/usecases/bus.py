"""``wattbook bus`` and ``wattbook dead``: straight to the bus, for who runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wattbook.bus import Bus, DeadLetter, Depths
from wattbook.bus.rabbitmq.address import Address
from wattbook.bus.settings import BusSettings
from wattbook.bus.topology import GROUPS, INGEST_SPOOLS, Group, matcher
from wattbook.errors import Unavailable
from wattbook.settings import SettingsError, load

from wattbook_cli.clients.bus_management import BusManagement
from wattbook_cli.domain.desk import BUS_URL, Layout
from wattbook_cli.domain.stops import Stop, TryLater

MANAGEMENT_URL = "WATTBOOK_BUS_MANAGEMENT_URL"
MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Operated:
    """A bus, the groups that are looked at, and where RabbitMQ's management is told of."""

    bus: Bus
    groups: tuple[Group, ...]
    management: BusManagement | None
    knows_all: bool
    """Whether there can be no group of an ingest spool that is meant and not in ``groups``."""

    def differences(self) -> list[str]:
        """A line for each thing that is missing or not as it must be."""
        found = self.bus.differences(self.groups)
        return found + (self.management.wrong_bindings(self.groups) if self.management else [])

    def depths(self) -> dict[str, Depths]:
        """How much waits and is dead, by group."""
        return {group.name: self.bus.depths(group.types, group=group.name) for group in self.groups}

    def dead_letters(self, *, most: int) -> list[DeadLetter]:
        """The oldest dead letters of all groups."""
        found = [
            letter for group in self.groups for letter in self.bus.dead_letters(group=group.name, most=most)
        ]
        return sorted(found, key=lambda letter: letter.died_at)[:most]

    def chosen(self, numbers: Sequence[int]) -> list[DeadLetter]:
        """The dead letters with these numbers, all of them where none is named.

        Raises:
            Stop: one of them is not there.
        """
        found = {letter.id: letter for letter in self.dead_letters(most=MOST)}
        if missing := [str(number) for number in numbers if number not in found]:
            raise Stop(f"no dead letter has number {', '.join(missing)}")
        return [found[number] for number in numbers] if numbers else list(found.values())


@contextmanager
def operated(
    environment: Mapping[str, str], *, data: Path, spools: Sequence[str] = (), group: str = ""
) -> Iterator[Operated]:
    """The bus that the environment names, or the data folder's own.

    Raises:
        TryLater: it cannot be used now.
        Stop: a setting is of no use, or there is no bus in the data folder.
    """
    try:
        settings = _settings(environment, data)
        bus = settings.open_bus()
        try:
            management = _management(environment, settings)
            names = management.groups() if management else bus.group_names()
            groups = tuple(_groups(names or (), spools, group))
            yield Operated(bus, groups, management, knows_all=names is not None or group != "")
        finally:
            bus.close()
    except Unavailable as error:
        raise TryLater(error.message) from error
    except ValueError as error:
        raise Stop(f"{BUS_URL}: {error}") from error


def _settings(environment: Mapping[str, str], data: Path) -> BusSettings:
    layout = Layout(data.absolute(), chosen=environment)
    if not environment.get(BUS_URL, "").strip() and not (layout.data / "bus" / "bus.db").exists():
        raise Stop(f"there is no bus in {data}; {BUS_URL} names another, --data another folder")
    try:
        return load(BusSettings, {**environment, BUS_URL: layout.bus_url})
    except SettingsError as error:
        raise Stop(str(error)) from error


def _management(environment: Mapping[str, str], settings: BusSettings) -> BusManagement | None:
    url = environment.get(MANAGEMENT_URL, "").strip()
    if not url or not settings.bus_url.startswith("amqp"):
        return None
    return BusManagement(url, Address.of(settings.bus_url, password=settings.bus_password))


def _groups(names: Sequence[str], spools: Sequence[str], only: str) -> Iterator[Group]:
    """Those that are declared, and one for each ingest spool that is named or known by ``names``."""
    is_spool = matcher([INGEST_SPOOLS.name])
    found = [name for name in names if is_spool(name)]
    named = [INGEST_SPOOLS.name.replace("*", spool) for spool in spools]
    of_spools = [INGEST_SPOOLS.named(name) for name in dict.fromkeys([*named, *found])]
    for each in (*(group for group in GROUPS if not group.one_each), *of_spools):
        if only in {"", each.name}:
            yield each
    if only and is_spool(only) and only not in {each.name for each in of_spools}:
        yield INGEST_SPOOLS.named(only)
