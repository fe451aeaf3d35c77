"""A file's readings taken away: those that only it held go, those before are current again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from meter_service.domain.versions import rank
from meter_service.store import rows
from meter_service.store.readings import Key, choose_current, versions, write

_KEYS_AT_ONCE = 400


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """How many versions go, and how many of those that stay become current."""

    gone: int
    become_current: int


def take_away(file_id: int) -> Withdrawn:
    """Within the transaction of :func:`connection.writing`."""
    rows.execute("DELETE FROM reading_source WHERE flow_file_id = %s", (file_id,))
    touched = _keep_shared(file_id)
    touched |= set(
        rows.select(
            "SELECT DISTINCT s.register_id, s.read_at FROM reading g JOIN reading s "
            "ON s.register_id = g.register_id AND s.read_at = g.read_at AND NOT s.is_current "
            "WHERE g.flow_file_id = %s AND g.is_current AND s.flow_file_id <> %s",
            (file_id, file_id),
        )
    )
    rows.execute(
        "DELETE FROM service_order WHERE reading_id IN (SELECT id FROM reading WHERE flow_file_id = %s)",
        (file_id,),
    )
    gone = rows.execute("DELETE FROM reading WHERE flow_file_id = %s", (file_id,))
    return Withdrawn(gone, sum(_chosen_anew(keys) for keys in _pieces(sorted(touched))))


def _keep_shared(file_id: int) -> set[Key]:
    """Readings that other files hold, too, are the greatest of those now; their keys."""
    shared = rows.select(
        "SELECT g.id, g.register_id, g.read_at, g.updated_at, s.flow_file_id, s.line, f.header_created_at, "
        "f.sha256 FROM reading g JOIN reading_source s ON s.reading_id = g.id "
        "JOIN flow_file f ON f.id = s.flow_file_id WHERE g.flow_file_id = %s",
        (file_id,),
    )
    best: dict[int, tuple[tuple[object, ...], int, int]] = {}
    for reading, _, _, updated_at, holder, line, header_created_at, sha256 in shared:
        found = (rank(updated_at, header_created_at, sha256, line), holder, line)
        best[reading] = max(found, best.get(reading, found))
    holders = [(holder, line, reading) for reading, (_, holder, line) in best.items()]
    rows.execute_many("UPDATE reading SET flow_file_id = %s, line = %s WHERE id = %s", holders)
    rows.execute_many(
        "DELETE FROM reading_source WHERE flow_file_id = %s AND line = %s AND reading_id = %s", holders
    )
    return {(register, read_at) for _, register, read_at, *_ in shared}


def _chosen_anew(keys: list[Key]) -> int:
    """Let the greatest version of each key be current; how many became it."""
    there = versions(keys)
    for others in there.values():
        if others:
            choose_current(others)
    all_of_them = [version for others in there.values() for version in others]
    write(all_of_them)
    return sum(version.is_current and not version.was_current for version in all_of_them)


def _pieces(keys: list[Key]) -> Iterator[list[Key]]:
    rest = iter(keys)
    while piece := list(islice(rest, _KEYS_AT_ONCE)):
        yield piece
