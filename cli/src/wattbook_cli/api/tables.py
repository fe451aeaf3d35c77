"""Tables and figures in a terminal: 80 columns, colour only there, the sign and the words everywhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 80
GOOD, BAD = "green", "red"


def console(*, error: bool = False) -> Console:
    """Where to print; as wide as the terminal, 80 columns into a pipe, colours off there."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else NARROW
    return Console(stderr=error, width=width, highlight=False, soft_wrap=False)


def table(*columns: str, title: str = "", figures: Sequence[str] = ()) -> Table:
    """An empty table; the columns named in ``figures`` are aligned right."""
    made = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    made.padding = (0, 2, 0, 0)  # type: ignore[assignment]  # Rich normalises it
    for column in columns:
        right = column in figures
        made.add_column(column, justify="right" if right else "left", header_style="bold", no_wrap=right)
    return made


def signed_eur(amount_eur: Decimal, *, style: bool = True) -> Text:
    """An amount with its sign and two decimals; nothing before a zero."""
    text = f"{amount_eur:+,.2f}" if amount_eur else "0.00"
    colour = GOOD if amount_eur > 0 else BAD if amount_eur < 0 else ""
    return Text(text, style=colour if style else "")


def aligned(figures: Sequence[Decimal]) -> list[str]:
    """Figures with as many decimals each as the finest of them needs, so that their points line up."""
    decimals = max((-int(figure.as_tuple().exponent) for figure in figures), default=0)
    return [f"{figure:,.{max(decimals, 0)}f}" for figure in figures]
