"""Figures and times as people read them: by locale, always exact, a sign on differences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal
from markupsafe import Markup, escape
from wattbook.periods import area_of

DEFAULT_LOCALE = "en"
LOCALES = ("en", "de", "de_AT", "de_CH", "fr", "nl", "it", "es", "pl", "cs", "da", "sv")
_MINUS = "\N{MINUS SIGN}"
_EN_DASH = "\N{EN DASH}"


@lru_cache(maxsize=512)
def locale_for(accept_language: str) -> str:
    """The locale in which figures are written; the words of the pages stay English."""
    wished = [part.partition(";")[0].strip().replace("-", "_") for part in accept_language[:200].split(",")]
    for tag in wished:
        for known in (tag, tag.partition("_")[0]):
            found = next((locale for locale in LOCALES if locale.lower() == known.lower()), None)
            if found is not None:
                return found
    return DEFAULT_LOCALE


def decimals_needed(values: Iterable[Decimal], *, least: int, most: int = 3) -> int:
    """How many decimals a column needs so that none of its figures loses any."""
    needed = (-int(value.normalize().as_tuple().exponent) for value in values)
    return min(max([least, *needed]), most)


@lru_cache(maxsize=32768)
def _written(value: Decimal | int, decimals: int, sign: bool, locale: str) -> str:
    """Remembered, since of a page that changes most figures stay; equal values are written alike."""
    places = "." + "0" * decimals if decimals else ""
    pattern = f"+#,##0{places};-#,##0{places}" if sign and value != 0 else f"#,##0{places}"
    return str(format_decimal(value, format=pattern, locale=_locale(locale))).replace("-", _MINUS)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes figures for one locale."""

    locale: str

    def number(self, value: Decimal | int, *, decimals: int = 0, sign: bool = False) -> str:
        """A figure with thousands, exactly ``decimals`` decimals, and with ``sign`` also a plus."""
        return _written(value, decimals, sign, self.locale)

    def figure(self, value: Decimal | int, *, decimals: int = 0, sign: bool = False) -> str:
        """The same where it stands alone: zero is ``0``."""
        return self.number(value, decimals=decimals, sign=sign) if value else "0"

    def cell(self, value: Decimal | int, *, decimals: int = 0, sign: bool = False) -> Markup:
        """The same for a column: a zero is a ``0`` whose decimals only take up their room."""
        text = self.number(value, decimals=decimals, sign=sign)
        if value == 0 and decimals:
            return Markup("0<i>{}</i>").format(text[1:])
        return escape(text)

    def known(self, value: Decimal | None, why_not: str, *, decimals: int = 2) -> Markup:
        """A figure, or a dash that says why there is none."""
        if value is not None:
            return escape(self.number(value, decimals=decimals))
        return _unknown(why_not)


@lru_cache(maxsize=64)
def _unknown(why_not: str) -> Markup:
    return Markup('<abbr class="unknown" title="{}">{}<span class="sr"> ({})</span></abbr>').format(
        why_not, _EN_DASH, why_not
    )


@lru_cache(maxsize=64)
def _locale(tag: str) -> Locale:
    return Locale.parse(tag)


def day_text(day: date, *, long: bool = False) -> str:
    """``Tue 28 Feb 2023``, or with the words in full. English, like all words of the pages."""
    return str(format_date(day, "EEEE d MMMM y" if long else "EEE d MMM y", locale=Locale("en")))


def time_text(instant: datetime, area: str, *, with_day: bool = False) -> str:
    """``14:03:07 CET``: wall clock of the area, with its zone."""
    local = instant.astimezone(area_of(area).zone)
    clock = f"{local:%H:%M:%S} {local.tzname()}"
    return f"{day_text(local.date())}, {clock}" if with_day else clock
