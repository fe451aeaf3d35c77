"""The map: outlines by country as ``make setup`` drew them, and names of countries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from babel import Locale
from babel.core import get_global

from report_service.api.assets import STATIC

WORLD = STATIC / "dist" / "world.svg"
_BOX = re.compile(r'viewBox="([0-9. ]+)"')
_SHAPE = re.compile(r'<(path|circle)(?: id="(\w+)")? ([^/]*)/>')


@dataclass(frozen=True, slots=True)
class Shape:
    """A country's outline or dot; ``code`` is ISO 3166-1 alpha-2 or XK, ``""`` where it has none."""

    element: str
    code: str
    name: str
    drawn: str


@dataclass(frozen=True, slots=True)
class World:
    """All shapes; none where the scripts are not built."""

    box: str
    shapes: tuple[Shape, ...]


@cache
def world() -> World:
    """The map, read once."""
    try:
        text = WORLD.read_text(encoding="utf-8")
    except FileNotFoundError:
        return World("", ())
    box = _BOX.search(text)
    shapes = [_shape(*found) for found in _SHAPE.findall(text)]
    return World(box[1] if box else "", tuple(shapes))


def country_name(code: str) -> str:
    """A country in English; ``""`` means that an IBAN names none."""
    return str(Locale("en").territories.get(code, code)) if code else "invalid IBAN"


def _shape(element: str, name: str, drawn: str) -> Shape:
    code = name
    if name.startswith("n"):
        (code, *_) = get_global("territory_aliases").get(name[1:], [""])
    return Shape(element, code, country_name(code) if code else "", drawn)
