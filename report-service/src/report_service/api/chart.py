"""Bars by hour as geometry for an SVG: what is seen at once, without scripts, and in print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 1000
HEIGHT = 300
_GAP = 0.28  # of a bar's slot


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle in the chart's units; ``kind`` is a class name."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars about a zero line."""

    bars: tuple[Bar, ...]
    zero_y: float
    width: int = WIDTH
    height: int = HEIGHT


def bars_about_zero(series: Sequence[tuple[str, Sequence[float]]]) -> Chart:
    """One bar a slot and series, up for positive and down for negative values, on a common scale.

    These are pixels, so floats do; no figure is read from them.
    """
    values = [value for _, each in series for value in each]
    top, bottom = max(0.0, *values), min(0.0, *values)
    scale = HEIGHT / ((top - bottom) or 1.0)
    zero_y = round(top * scale, 2)
    slots = len(series[0][1])
    slot = WIDTH / slots
    bars = tuple(
        Bar(
            round(slot * (at + _GAP / 2), 2),
            round(zero_y - max(value, 0) * scale, 2),
            round(slot * (1 - _GAP), 2),
            round(abs(value) * scale, 2),
            kind or ("good" if value > 0 else "bad"),
        )
        for kind, each in series
        for at, value in enumerate(each)
        if value
    )
    return Chart(bars, zero_y)
