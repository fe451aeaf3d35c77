"""The table, on the terminal and in RESULTS.md; a benchmark not run this time keeps its last figures."""

from __future__ import annotations

import re
from pathlib import Path

from bench.context import Row

EMBEDDED = Path(__file__).with_name("RESULTS.md")
PRODUCTION = Path(__file__).with_name("RESULTS-production.md")
INTRODUCTION = """# Figures

Made by `make bench`: each benchmark starts its own product on an empty folder, with the load generator on
the same machine. Goals are those of the issue that asked for the figure. A benchmark run by its name
replaces its own section.
"""


def as_text(rows: list[Row]) -> str:
    """Aligned columns."""
    cells = [(row.what, row.measured, row.goal, _said(row)) for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def keep(path: Path, facts: dict[str, str], measured: dict[str, list[Row]], *, order: list[str]) -> None:
    """Write the sections measured now, and keep the others as they are."""
    kept = sections(path)
    for name, rows in measured.items():
        kept[name] = _section(name, facts, rows)
    known = [kept[name] for name in order if name in kept]
    path.write_text("\n".join([INTRODUCTION, *known]), encoding="utf-8")


def sections(path: Path) -> dict[str, str]:
    """By benchmark, what the file says of it."""
    if not path.exists():
        return {}
    parts = re.split(r"^(?=## )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part[3:].split("\n", 1)[0].strip(): part.rstrip("\n") + "\n" for part in parts}


def _section(name: str, facts: dict[str, str], rows: list[Row]) -> str:
    said = ", ".join(value if label == "date" else f"{label} {value}" for label, value in facts.items())
    lines = [f"## {name}", "", said, "", "| figure | measured | goal | met |", "|---|---|---|---|"]
    for row in rows:
        indented = row.what.replace("  ", "&emsp;", 1) if row.what.startswith("  ") else row.what
        lines.append(f"| {indented} | {row.measured} | {row.goal} | {_said(row)} |")
    return "\n".join([*lines, ""])


def _said(row: Row) -> str:
    return {True: "yes", False: "**no**", None: ""}[row.met]
