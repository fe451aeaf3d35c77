"""Bars by hour as geometry for an SVG: seen at once, without scripts, and in print.

The scripts later draw the same bars on the same scale, so that nothing moves when they arrive. These are
pixels, so floats do; no figure is read from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from report_service.api.figures import Writer, decimals_needed

WIDTH = 1000
HEIGHT = 300
_GAP = 0.28  # of a bar's slot
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0)
_MOST_INTERVALS = 6
_NEARLY = 1e-9
_THINNEST = 3.0
_SUFFIXES = ((1_000_000, "M"), (1_000, "k"), (1, ""))


@dataclass(frozen=True, slots=True)
class Scale:
    """A vertical axis that includes zero and ends on round values."""

    low: float
    high: float
    step: float

    @property
    def ticks(self) -> list[float]:
        """From the top down."""
        count = round((self.high - self.low) / self.step)
        return [round(self.high - self.step * at, 10) for at in range(count + 1)]

    def y(self, value: float) -> float:
        """Where a value lies, from the top."""
        return round((self.high - value) / (self.high - self.low) * HEIGHT, 2)


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
    """Bars about a zero line, perhaps a line over them, and the axis' words from the top down."""

    scale: Scale
    bars: tuple[Bar, ...]
    line: str
    labels: tuple[str, ...]
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def zero_y(self) -> float:
        """Where zero lies."""
        return self.scale.y(0)

    @property
    def rules(self) -> list[float]:
        """Where the axis' lines lie."""
        return [self.scale.y(tick) for tick in self.scale.ticks]


def bars_by_hour(
    series: Sequence[tuple[str, Sequence[float]]], *, line: Sequence[float] = (), writer: Writer
) -> Chart:
    """One bar a slot and series, up for positive and down for negative values, on a common scale."""
    scale = scale_of([*line, *(value for _, each in series for value in each)])
    slot = WIDTH / len(series[0][1])
    bars = tuple(
        Bar(
            round(slot * (at + _GAP / 2), 2),
            scale.y(max(value, 0)),
            round(slot * (1 - _GAP), 2),
            round(abs(scale.y(0) - scale.y(value)), 2),
            kind,
        )
        for kind, each in series
        for at, value in enumerate(each)
        if value
    )
    points = " ".join(f"{round(slot * (at + 0.5), 2)},{scale.y(value)}" for at, value in enumerate(line))
    return Chart(scale, bars, points, tick_labels(scale, writer))


def candles_by_hour(
    ours: Sequence[float | None], reference: Sequence[float | None], *, writer: Writer
) -> Chart:
    """A bar from the reference price to our average, and the reference as a step; without a zero."""
    scale = scale_of([each for each in (*ours, *reference) if each is not None], with_zero=False)
    slot = WIDTH / len(ours)
    bars: list[Bar] = []
    for at, (average, quoted) in enumerate(zip(ours, reference, strict=True)):
        if quoted is not None:
            bars.append(Bar(round(slot * at, 2), scale.y(quoted) - 1, round(slot, 2), 2, "reference"))
        if average is None:
            continue
        kind = "alone" if quoted is None else "good" if average > quoted else "bad"
        other = average if quoted is None else quoted
        top, bottom = scale.y(max(average, other)), scale.y(min(average, other))
        height = round(max(bottom - top, _THINNEST), 2)
        bars.append(Bar(round(slot * (at + _GAP / 2), 2), top, round(slot * (1 - _GAP), 2), height, kind))
    return Chart(scale, tuple(bars), "", tick_labels(scale, writer))


def scale_of(values: Sequence[float], *, with_zero: bool = True) -> Scale:
    """A scale with room for all values, and for zero unless told otherwise."""
    anyway = (0.0,) if with_zero or not values else ()
    high, low = max((*anyway, *values)), min((*anyway, *values))
    if high == low:
        return Scale(low - 1.0, low + 1.0, 1.0)
    magnitude = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    for step in (each * magnitude for each in _STEPS):
        bottom, top = math.floor(low / step + _NEARLY), math.ceil(high / step - _NEARLY)
        if top - bottom <= _MOST_INTERVALS:
            return Scale(round(bottom * step, 10), round(top * step, 10), step)
    raise ArithmeticError("no step fits")  # the last step is a tenfold of the first: one always does


def tick_labels(scale: Scale, writer: Writer) -> tuple[str, ...]:
    """``15k``, ``10k``, ``5k``, ``0`` … short, and all with the same number of decimals."""
    most = max(abs(tick) for tick in scale.ticks)
    unit, suffix = next((unit, suffix) for unit, suffix in _SUFFIXES if most >= unit or unit == 1)
    shown = [Decimal(str(tick)) / unit for tick in scale.ticks]
    decimals = decimals_needed(shown, least=0)
    return tuple(writer.number(each, decimals=decimals) + suffix if each else "0" for each in shown)
