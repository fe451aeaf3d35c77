"""Writes docs/settings.md (``make docs``): every variable that a process reads, from its own settings."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sandbox.world import WorldSettings
from wattbook.bus.settings import BusSettings
from wattbook.clock_settings import ClockSettings
from wattbook.db import StoreSettings
from wattbook.process import DrainSettings, ProcessSettings
from wattbook.proxies import ProxySettings
from wattbook.telemetry.settings import Common
from wattbook.walls import WallSettings
from wattbook.web.settings import HttpSettings

from deploy.checks.told import MODULES

PAGE = Path(__file__).parents[1] / "docs/settings.md"
SHARED: dict[type, str] = {
    ProcessSettings: "Every process",
    ClockSettings: "Time",
    WallSettings: "Inside the walls",
    DrainSettings: "Orderly stop",
    StoreSettings: "Stores",
    BusSettings: "Bus",
    ProxySettings: "Behind a proxy",
    HttpSettings: "Slow and greedy clients",
    WorldSettings: "The simulated world",
}
INTRODUCTION = """# Settings

Made by `make docs` from what the processes load; a test holds the two together. Variables are read once, at
the start. One that is missing or wrong stops it: a line for each on standard error, exit status 78. An empty
one counts as not set. A *secret* is never shown in a log. Which belong together, and what they are for, is in
[operations.md](operations.md).
"""
TELEMETRY = """## Telemetry

Read by every service: OpenTelemetry's own variables. Those of one signal, or of where it goes, are in
[operations.md](operations.md#telemetry).
"""
HEAD = "| variable | what | value | default |\n|---|---|---|---|"
KINDS = {str: "text", int: "whole number", float: "number", bool: "true, false", Path: "path"}


def page() -> str:
    """The whole page."""
    loaded = {
        f"{service} {module.split('.')[1].replace('_', ' ')}" if len(modules) > 1 else service: kind
        for service, modules in MODULES.items()
        for module in modules
        for kind in [importlib.import_module(module).Settings]
    }
    parts = [INTRODUCTION]
    for shared, title in SHARED.items():
        readers = ", ".join(name for name, kind in loaded.items() if issubclass(kind, shared))
        parts.append(f"## {title}\n\nRead by {readers}.\n\n{_table(_declared(shared))}")
    parts += [f"## {name}\n\n{_table(_own(kind))}" for name, kind in loaded.items()]
    parts.append(f"{TELEMETRY}\n{_table(_declared(Common))}")
    return "\n".join(parts)


def _own(kind: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """The fields of ``kind`` that no class of :data:`SHARED` declares, or it anew, with their types."""
    shared = {name for each in SHARED if issubclass(kind, each) for name in inspect.get_annotations(each)}
    shared -= inspect.get_annotations(kind).keys()
    hints = get_type_hints(kind)
    yield from ((field, hints[field.name]) for field in dataclasses.fields(kind) if field.name not in shared)


def _declared(kind: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """The fields of ``kind`` that it declares itself, not one of its bases, with their types."""
    hints = get_type_hints(kind)
    own = inspect.get_annotations(kind)
    yield from ((field, hints[field.name]) for field in dataclasses.fields(kind) if field.name in own)


def _table(fields: Iterable[tuple[dataclasses.Field[Any], Any]]) -> str:
    rows = [
        f"| `{field.metadata['env']}` | {field.metadata['help']} | {_kind(hint, field)} | {_default(field)} |"
        for field, hint in fields
    ]
    return "\n".join([HEAD, *rows, ""])


def _kind(hint: Any, field: dataclasses.Field[Any]) -> str:
    if field.metadata["secret"]:
        return "*secret*"
    if get_origin(hint) in (types.UnionType, Union):  # X | None
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return ", ".join(get_args(hint))
    return "comma-separated" if get_origin(hint) is tuple else KINDS[hint]


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if value is dataclasses.MISSING:
        return "**needed**"
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
