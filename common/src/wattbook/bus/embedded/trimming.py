"""Letting go of what is old and done with."""

from __future__ import annotations

import sqlite3
from fnmatch import fnmatchcase

from wattbook.bus import topology
from wattbook.bus.embedded import schema

_NO_GROUP = 2**63 - 1

# The oldest rows that every group is done with, as far as they are old enough.
_TRIM = """
DELETE FROM log WHERE position IN (
    SELECT position FROM (
        SELECT position, published_us FROM log
        WHERE position <= :done_to AND NOT ({wanted})
        AND NOT EXISTS (SELECT 1 FROM pending WHERE pending.position = log.position)
        ORDER BY position LIMIT :most
    ) WHERE published_us < :before_us
)
"""


def trim(raw: sqlite3.Connection, *, before_us: int, most: int) -> None:
    """Delete at most so many of what was published before then.

    A group of which there is one a running copy may be left behind for ever, when the copy and its store are
    thrown away. It keeps what is meant for it, and does not hold up everything else.
    """
    done_to = _NO_GROUP
    wanted = ["0"]
    for name, position in raw.execute("SELECT name, position FROM groups").fetchall():
        types = _types_of_one_each(name)
        if types is None:
            done_to = min(done_to, position)
        else:
            wanted.append(f"(position > {int(position)} AND {schema.matching(types)})")
    raw.execute(
        _TRIM.format(wanted=" OR ".join(wanted)), {"done_to": done_to, "before_us": before_us, "most": most}
    )


def _types_of_one_each(name: str) -> tuple[str, ...] | None:
    return next(
        (each.types for each in topology.GROUPS if each.one_each and fnmatchcase(name, each.name)), None
    )
