"""A company's balance and flows as geometry for an SVG, and as numbers for the scripts that draw the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

from markupsafe import Markup, escape
from wattbook_proto import cash_pb2

from report_service.api.cash_figures import money, toned
from report_service.api.chart import HEIGHT, WIDTH, Bar, Chart, Scale, scale_of, tick_labels
from report_service.api.figures import Writer
from report_service.api.slots import Slots, drawing
from report_service.domain.cash import Look


def charts(buckets: Sequence[cash_pb2.Bucket], look: Look, writer: Writer) -> Slots:
    """The balance as a line that changes colour at 0, and what came in and went out as bars."""
    closing = [float(each.closing) for each in buckets]
    lowest = min(buckets, key=lambda each: Decimal(each.lowest), default=None)
    low = float(lowest.lowest) if lowest is not None else 0.0
    flows = [(float(each.cash_in), float(each.cash_out)) for each in buckets]
    line = Chart(scale := scale_of([*closing, low]), (), _points(closing, scale), tick_labels(scale, writer))
    bars = _bars(flows, writer)
    slots = {**drawing("flows", bars), "ticks.balance": drawing("balance", line)["ticks.balance"]}
    low_at = list(buckets).index(lowest) if lowest is not None else 0
    slots["svg.balance"] = _line(line, at=low_at, low=low, count=len(buckets))
    slots["lowest"] = _lowest(lowest, writer)
    slots["axis"] = _axis([each.label for each in buckets])
    is_empty = not any(each.payments for each in buckets) and not any(closing)
    for name in ("balance", "flows"):
        slots[f"c:{name}"] = escape("panel chart is-empty" if is_empty else "panel chart")
    slots["cash-series"] = escape(
        json.dumps(
            {
                "labels": [each.label for each in buckets],
                "closing": closing,
                "in": [each for each, _ in flows],
                "out": [-each for _, each in flows],
                "lowest": [low_at, low],
                "words": [_words(each, look, writer) for each in buckets],
                "balance": [line.scale.low, line.scale.high],
                "flows": [bars.scale.low, bars.scale.high],
            },
            separators=(",", ":"),
        )
    )
    return slots


def _line(chart: Chart, *, at: int, low: float, count: int) -> Markup:
    """The balance in two colours, each cut at zero, and a mark at the lowest day."""
    zero = min(max(chart.zero_y, 0.0), float(HEIGHT))
    rules = "".join(f'<line class="rule" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>' for y in chart.rules)
    halves = "".join(
        f'<clipPath id="{name}"><rect x="0" y="{y}" width="{WIDTH}" height="{height}"/></clipPath>'
        f'<g clip-path="url(#{name})"><polyline class="{name}" points="{chart.line}"/></g>'
        for name, y, height in (("above", -9, zero + 9), ("under", zero, HEIGHT - zero + 9))
    )
    x, y = _x(at, count), chart.scale.y(low)
    zeroed = f'<line class="zero" x1="0" x2="{WIDTH}" y1="{zero}" y2="{zero}"/>'
    return Markup(f'{rules}{halves}{zeroed}<path class="low" d="M{x} {y}h.01"/>')  # noqa: S704 - numbers


def _bars(flows: Sequence[tuple[float, float]], writer: Writer) -> Chart:
    scale = scale_of([each for pair in flows for each in (pair[0], -pair[1])])
    slot = WIDTH / max(1, len(flows))
    zero = scale.y(0)
    bars = [
        Bar(
            round(slot * (at + 0.14), 2), scale.y(max(value, 0)), round(slot * 0.72, 2),
            round(abs(scale.y(value) - zero), 2), kind,
        )
        for at, pair in enumerate(flows)
        for kind, value in (("in", pair[0]), ("out", -pair[1]))
        if value
    ]  # fmt: skip
    return Chart(scale, tuple(bars), "", tick_labels(scale, writer))


def _points(values: Sequence[float], scale: Scale) -> str:
    """The line through the end of each bucket; one alone is a level."""
    if len(values) == 1:
        return f"0,{scale.y(values[0])} {WIDTH},{scale.y(values[0])}"
    return " ".join(f"{_x(at, len(values))},{scale.y(value)}" for at, value in enumerate(values))


def _x(at: int, count: int) -> float:
    return round(WIDTH / max(1, count) * (at + 0.5), 2)


def _axis(labels: Sequence[str]) -> Markup:
    """At most six words below a chart, each under its bucket."""
    every = -(-len(labels) // 6) or 1
    return Markup("").join(
        Markup("<li>{}</li>").format(label if at % every == 0 else "")
        for at, label in enumerate(labels)
        if len(labels) <= 60 or at % every == 0
    )


def _lowest(bucket: cash_pb2.Bucket | None, writer: Writer) -> Markup:
    if bucket is None:
        return Markup("")
    day = f"on {bucket.lowest_day}" if bucket.lowest_day else "at the beginning"
    return Markup('<b class="low-key" aria-hidden="true">●</b> lowest {} {}').format(
        toned(bucket.lowest, writer), day
    )


def _words(each: cash_pb2.Bucket, look: Look, writer: Writer) -> list[str]:
    """What stands beside a bucket in the scripts' charts."""
    figures = {"Closing": each.closing, "In": each.cash_in, "Out": each.cash_out, "Lowest": each.lowest}
    said = [f"{title}  {money(text, writer).striptags()} {look.currency}" for title, text in figures.items()]
    return [each.label, *said]
