"""Tables and figures in a terminal: 80 columns, colour only there, the sign and the words everywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from wattbook.text import shown, shown_lines

NARROW = 80
GOOD, BAD = "green", "red"


class _Console(Console):
    """A console on which only Rich itself steers the terminal, whatever text it is given."""

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As Rich does, with what would steer a terminal written out."""
        for segment in super().render(renderable, options):
            is_plain = segment.control or segment.text.isprintable()
            yield segment if is_plain else Segment(shown_lines(segment.text), segment.style)


def console(*, error: bool = False) -> Console:
    """Where to print; as wide as the terminal, 80 columns into a pipe, colours off there."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream and stream.isatty() else NARROW
    return _Console(stderr=error, width=width, highlight=False, soft_wrap=False)


def table(*columns: str, figures: Sequence[str] = ()) -> Table:
    """An empty table with hairlines; the columns named in ``figures`` are aligned right."""
    made = Table(box=SIMPLE, show_edge=False, pad_edge=False, header_style="bold", footer_style="bold")
    made.padding = (0, 1, 0, 0)
    for column in columns:
        right = column in figures
        made.add_column(column, justify="right" if right else "left", no_wrap=right)
    return made


def signed_eur(amount_eur: Decimal) -> Text:
    """An amount with its sign and two decimals; a zero has no sign. Colour is the light's alone."""
    return Text(f"{amount_eur:+,.2f}" if amount_eur else "0.00")


def aligned(figures: Sequence[Decimal]) -> list[str]:
    """Figures, each as short as it is, with their decimal points below each other when aligned right."""
    texts = [f"{figure:,f}" for figure in figures]
    after = [len(text.partition(".")[1] + text.partition(".")[2]) for text in texts]
    return [text + " " * (max(after) - own) for text, own in zip(texts, after, strict=True)]


def age(instant: str | None, *, now: datetime) -> str:
    """How long ago an RFC 3339 instant was, in its largest unit; ``–`` where there is none."""
    if not instant:
        return "–"
    seconds = max(0, int((now - datetime.fromisoformat(instant)).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def local_time(instant: str | None, *, zone: ZoneInfo) -> str:
    """An RFC 3339 instant as a local time with its day; ``–`` where there is none."""
    return datetime.fromisoformat(instant).astimezone(zone).strftime("%d %b %H:%M:%S") if instant else "–"


def plain(text: object) -> Text:
    """What others wrote, as it is: no markup of ours, and nothing that a terminal would obey."""
    return Text(shown(str(text)))
