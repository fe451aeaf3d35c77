"""Flow files out again."""

from __future__ import annotations

from wattbook.clock import Clock
from wattbook.errors import Conflict, InvalidInput

from meter_service.models import FlowFile
from meter_service.store import connection, files
from meter_service.store.withdrawal import Withdrawn, take_away


class _Undone(Exception):  # ends a transaction that was only to count
    """What was done is to be forgotten."""


def preview(file_id: int) -> Withdrawn:
    """What :func:`withdraw` would do: it is done, counted and undone.

    Raises:
        NotFound, Conflict, Unavailable: as there.
    """
    counted: Withdrawn | None = None
    try:
        with connection.writing():
            counted = _taken_away(file_id)[1]
            raise _Undone
    except _Undone:
        assert counted is not None
        return counted


def withdraw(file_id: int, *, by: str, reason: str, clock: Clock) -> Withdrawn:
    """Versions that only this file held go, those before are current again; the record stays.

    Withdrawn already: nothing is done, and nothing is counted.

    Raises:
        InvalidInput: without a reason.
        NotFound: there is no such file.
        Conflict: it was never imported.
        Unavailable: the store cannot be used now; nothing is changed.
    """
    if not reason.strip():
        raise InvalidInput("a file is withdrawn for a reason: say which")
    with connection.writing():
        file, counted = _taken_away(file_id)
        if file.state != files.State.WITHDRAWN:
            files.write_withdrawn(file, by, reason.strip(), clock.now())
        return counted


def _taken_away(file_id: int) -> tuple[FlowFile, Withdrawn]:
    file = files.named(file_id)
    if file.state == files.State.WITHDRAWN:
        return file, Withdrawn(0, 0)
    if file.state != files.State.IMPORTED:
        raise Conflict(f"the file is {file.state}; only an imported one can be withdrawn")
    return file, take_away(file_id)
