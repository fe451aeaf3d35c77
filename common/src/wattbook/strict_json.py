"""JSON that says each thing once: an object with a key twice says two things, and readers differ in which."""

from __future__ import annotations

from typing import Any

_MOST_SHOWN = 100


class RepeatedKey(ValueError):
    """An object has a key twice; the message names it."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs: an ``object_pairs_hook`` of :func:`json.loads`.

    Raises:
        RepeatedKey: a key comes twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKey(f"{repeated[:_MOST_SHOWN]}: given twice")
    return found
