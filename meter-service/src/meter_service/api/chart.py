"""A register's readings as a step chart, drawn here: it needs no script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meter_service.api.words import time_text
from meter_service.models import Reading

WIDTH, HEIGHT = 960, 150
LEFT, RIGHT, TOP, BOTTOM = 4, 956, 8, 142
FEWEST = 2


def steps(rows: Sequence[Reading]) -> dict[str, Any] | None:
    """What is drawn of readings, newest first: a line of steps, a mark each; None where they are too few."""
    if len(rows) < FEWEST:
        return None
    ordered = rows[::-1]
    times = [int(row.read_at.timestamp()) for row in ordered]
    values = [row.value for row in ordered]
    low, high = min(values), max(values)
    span_s, span = max(times[-1] - times[0], 1), max(high - low, 1)
    points = [
        (
            LEFT + (RIGHT - LEFT) * (at - times[0]) / span_s,
            BOTTOM - (BOTTOM - TOP) * (value - low) / span,
        )
        for at, value in zip(times, values, strict=True)
    ]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:])
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "path": path,
        "marks": [
            {
                "x": f"{x:.1f}",
                "y": f"{y:.1f}",
                "kind": "actual" if row.quality == "A" else "guess",
                "words": f"{time_text(row.read_at)}: {row.value_text} {row.unit}, {row.quality}",
            }
            for row, (x, y) in zip(ordered, points, strict=True)
        ],
        "from": time_text(ordered[0].read_at)[:10],
        "to": time_text(ordered[-1].read_at)[:10],
        "low": next(row.value_text for row in ordered if row.value == low),
        "high": next(row.value_text for row in ordered if row.value == high),
    }
