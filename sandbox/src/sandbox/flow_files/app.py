"""The command that writes made-up flow files into a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from sandbox.flow_files.cases import CASES
from sandbox.flow_files.domain import FIRST_DAY, Plan, daily_files


def write(plan: Plan, cases: Sequence[str], out: Path) -> int:
    """Write a file a day, and one for each case; how many.

    Raises:
        OSError: a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, lines in daily_files(plan):
        with (out / name).open("w", encoding="ascii", newline="") as file:
            file.writelines(f"{line}\r\n" for line in lines)
        count += 1
    for name in cases:
        case = CASES[name]()
        (out / f"{name}.{case.extension}").write_bytes(case.content)
    return count + len(cases)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wattbook demo-data flow-files",
        description="Write NEM13 flow files of made-up meter points, one a day; the same for the same seed.",
    )
    parser.add_argument("--meter-points", type=int, default=300, metavar="N", help="(default: 300)")
    parser.add_argument("--days", type=int, default=60, metavar="N", help="files, a day each (default: 60)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="another world for each (default: 1)"
    )
    parser.add_argument("--first-day", type=date.fromisoformat, default=FIRST_DAY, metavar="YYYY-MM-DD")
    parser.add_argument(
        "--every-days", type=int, default=30, metavar="N", help="from read to read (default: 30)"
    )
    parser.add_argument(
        "--case", action="append", default=[], choices=[*CASES, "all"], metavar="NAME",
        help=f"a file of an edge case more, or all of them: {', '.join(CASES)}",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made where it is not there")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Read the arguments and write; the exit status."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if min(chosen.meter_points, chosen.days, chosen.seed) < 0 or chosen.every_days < 1:
        parser.error("numbers are not negative, and reads are at least a day apart")
    if chosen.meter_points > 1_000_000 or chosen.seed > 999_999:
        parser.error("at most 1,000,000 meter points, and a seed of at most 999999")
    plan = Plan(chosen.meter_points, chosen.days, chosen.seed, chosen.first_day, chosen.every_days)
    try:
        count = write(plan, list(CASES) if "all" in chosen.case else chosen.case, chosen.out)
    except OSError as error:
        print(f"cannot write there: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    print(f"{count} files in {chosen.out}")
    return 0
