"""Changes of a few settings by name, given as JSON values or as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from wattbook.errors import InvalidInput


def typed_changes(kind: type[Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes for a dataclass of bool, int, float, str and ``str | None`` fields, given as JSON values.

    Raises:
        InvalidInput: an unknown name, or a value of the wrong type.
    """
    types = {field.name: str(field.type) for field in fields(kind)}
    unknown = sorted(set(changes) - set(types))
    if unknown:
        raise InvalidInput(f"no setting is called {', '.join(unknown)}; known are {', '.join(types)}")
    return {name: _typed(name, types[name], value) for name, value in changes.items()}


def changes_from_text(text: str) -> dict[str, Any]:
    """``split=true,duplicate_rate=0.01`` as JSON values.

    Raises:
        InvalidInput: a part is not ``name=value``.
    """
    changes: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise InvalidInput(f"{part!r} is not name=value")
        changes[name.strip()] = _json_value(value.strip())
    return changes


def _json_value(text: str) -> Any:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _typed(name: str, kind: str, value: Any) -> Any:
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind.startswith("str") and isinstance(value, str):
        return value
    if kind == "str | None" and value is None:
        return None
    raise InvalidInput(f"{name}: {value!r} is no {kind}")
