"""Readings and their versions: added, compared, taken away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from meter_service.domain.files import Counts
from meter_service.domain.problems import Findings
from meter_service.domain.records import Batch, ServiceOrder
from meter_service.domain.versions import Rank, rank
from meter_service.store import rows
from meter_service.store.registers import Registers

Key = tuple[int, int]  # register, read at
_KEYS_AT_ONCE = 400
_NOTED = 100_000
_CONTENT = slice(rows.ReadingRow._fields.index("read_at"), -1)  # all but where it came from
_ORDER_COLUMNS = "reading_id, number, previous_code, previous_order, current_code, current_order"
_SELECTED = ", ".join(f"r.{name}" for name in rows.READING_COLUMNS.split(", "))
_VERSIONS = (
    "WITH k(register_id, read_at) AS (VALUES {keys}) "  # noqa: S608  # our own names
    f"SELECT {_SELECTED}, f.header_created_at, f.sha256 FROM k "
    "JOIN reading r ON r.register_id = k.register_id AND r.read_at = k.read_at AND {which} r.is_current "
    "JOIN flow_file f ON f.id = r.flow_file_id"
)


@dataclass(slots=True)
class Version:
    """A reading's row with its service orders, and where it stands among the others of its key."""

    row: Any  # a ReadingRow
    orders: list[ServiceOrder]
    rank: Rank
    is_current: bool
    is_new: bool = False
    was_current: bool = False
    was_held_by: tuple[int, int] = (0, 0)

    @property
    def id(self) -> int:
        """Of the row."""
        return int(self.row.id)

    @property
    def holder(self) -> tuple[int, int]:
        """The file and the line that hold it, the greatest of them."""
        return self.row.flow_file_id, self.row.line

    def is_same(self, other: Any, orders: list[ServiceOrder]) -> bool:
        """Whether it says the same."""
        return bool(self.row[_CONTENT] == other[_CONTENT]) and self.orders == orders

    def hold(self, holder: tuple[int, int], place: Rank) -> None:
        """It is held by another file and line now."""
        self.row = self.row._replace(flow_file_id=holder[0], line=holder[1])
        self.rank = place


class Importing:
    """The readings of one file, batch by batch, within the transaction of its import."""

    def __init__(self, file_id: int, sha256: str, header_created_at: int | None, findings: Findings) -> None:
        """Of the file with that record."""
        self.counts = Counts()
        self._file_id = file_id
        self._sha256 = sha256
        self._header_created_at = header_created_at
        self._findings = findings
        self._registers = Registers()
        self._noted: set[int] = set()  # versions that this file holds beside another, of the latest
        self._next_id = rows.next_id("reading")

    def add(self, batch: Batch) -> None:
        """Store a batch."""
        readings = batch.readings
        registers = self._registers.ids(readings)
        file_id, first = self._file_id, self._next_id
        made = [
            (first + at, register, True, file_id, *reading[4:])
            for at, (register, reading) in enumerate(zip(registers, readings, strict=True))
        ]
        self._next_id += len(made)
        known = [rows.ReadingRow._make(row) for row in rows.add_readings(made)]
        self.counts.records += len(made)
        self.counts.stored += len(made) - len(known)
        if batch.orders:
            missing = {row.id for row in known}
            ids = {line: first + at for at, (*_, line) in enumerate(readings) if first + at not in missing}
            _add_orders((ids[line], orders) for line, orders in batch.orders.items() if line in ids)
        for at in range(0, len(known), _KEYS_AT_ONCE):
            self._compare(known[at : at + _KEYS_AT_ONCE], batch.orders)

    def _compare(self, given: list[Any], orders: dict[int, list[ServiceOrder]]) -> None:
        """Rows whose keys are there already, each against the versions that are."""
        there = versions({(row.register_id, row.read_at) for row in given})
        if len(self._noted) > _NOTED:
            self._noted.clear()
        sources: list[rows.Row] = []
        for row in given:
            others, its_orders = there[row.register_id, row.read_at], orders.get(row.line, [])
            mine = [each for each in others if each.id in self._noted or each.holder[0] == self._file_id]
            place = rank(row.updated_at, self._header_created_at, self._sha256, row.line)
            same = next((other for other in others if other.is_same(row, its_orders)), None)
            if mine:
                self._findings.warn("duplicate_in_file" if same in mine else "different_in_file", row.line)
            if same is None:
                self._arrive(Version(row, its_orders, place, is_current=False, is_new=True), others)
                continue
            self.counts.duplicates += 1
            self._noted.add(same.id)
            if place > same.rank:
                sources.append((same.id, *same.holder))
                same.hold((self._file_id, row.line), place)
                choose_current(others)
            else:
                sources.append((same.id, self._file_id, row.line))
        write(version for others in there.values() for version in others)
        rows.insert("reading_source", "reading_id, flow_file_id, line", sources)

    def _arrive(self, version: Version, others: list[Version]) -> None:
        """Another content for a key."""
        current = next(other for other in others if other.is_current)
        others.append(version)
        if version.rank > current.rank:
            self.counts.stored += 1
            choose_current(others)
        else:
            self.counts.superseded += 1


def versions(keys: Iterable[Key]) -> dict[Key, list[Version]]:
    """All versions of some keys, of which there are at most some hundred."""
    wanted = list(keys)
    found: dict[Key, list[Version]] = {key: [] for key in wanted}
    places = ", ".join(["(%s, %s)"] * len(wanted))
    parameters = [number for key in wanted for number in key]
    for which in ("", "NOT"):  # an index each
        for row in rows.select(_VERSIONS.format(keys=places, which=which), parameters):
            *content, header_created_at, sha256 = row
            found_row = rows.ReadingRow._make(content)
            if found_row.next_read_on is not None:
                found_row = found_row._replace(next_read_on=str(found_row.next_read_on))
            version = Version(
                found_row, [], rank(found_row.updated_at, header_created_at, sha256, found_row.line),
                is_current=bool(which == ""), was_current=bool(which == ""),
                was_held_by=(found_row.flow_file_id, found_row.line),
            )  # fmt: skip
            found[found_row.register_id, found_row.read_at].append(version)
    _fill_orders([version for others in found.values() for version in others])
    return found


def choose_current(others: list[Version]) -> None:
    """Of all versions of a key."""
    best = max(others, key=lambda version: version.rank)
    for version in others:
        version.is_current = version is best


def write(changed: Iterable[Version]) -> None:
    """Bring the rows of versions to what they became; first those that are current no more."""
    all_of_them = list(changed)
    old = [version for version in all_of_them if not version.is_new]
    _flag(False, [version.id for version in old if version.was_current and not version.is_current])
    _flag(True, [version.id for version in old if version.is_current and not version.was_current])
    rows.execute_many(
        "UPDATE reading SET flow_file_id = %s, line = %s WHERE id = %s",
        [(*version.holder, version.id) for version in old if version.holder != version.was_held_by],
    )
    new = [version for version in all_of_them if version.is_new]
    if new:
        added = [version.row._replace(is_current=version.is_current) for version in new]
        rows.insert("reading", rows.READING_COLUMNS, added)
        _add_orders((version.id, version.orders) for version in new if version.orders)


def _flag(is_current: bool, ids: list[int]) -> None:
    if ids:
        marks = ", ".join(["%s"] * len(ids))
        rows.execute(f"UPDATE reading SET is_current = %s WHERE id IN ({marks})", (is_current, *ids))  # noqa: S608


def _fill_orders(found: list[Version]) -> None:
    by_id = {version.id: version for version in found}
    if not by_id:
        return
    marks = ", ".join(["%s"] * len(by_id))
    query = f"SELECT {_ORDER_COLUMNS} FROM service_order WHERE reading_id IN ({marks}) "  # noqa: S608
    query += "ORDER BY reading_id, number"
    for reading_id, _, *order in rows.select(query, list(by_id)):
        by_id[reading_id].orders.append(ServiceOrder(*order))


def _add_orders(given: Iterable[tuple[int, list[ServiceOrder]]]) -> None:
    rows.insert(
        "service_order", _ORDER_COLUMNS,
        [(reading_id, number, *order) for reading_id, orders in given for number, order in enumerate(orders)],
    )  # fmt: skip
