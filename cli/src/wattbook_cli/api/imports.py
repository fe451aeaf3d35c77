"""``wattbook import``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import click
from wattbook.clock import SystemClock

from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.progress import SendingBar
from wattbook_cli.api.tables import console, table
from wattbook_cli.api.terminal import complain
from wattbook_cli.clients.gateway import Gateway
from wattbook_cli.domain.batches import Counts, Outcome, Refusal
from wattbook_cli.domain.stops import EXIT_FAILED, EXIT_ROWS_REFUSED, Stop
from wattbook_cli.store.sources import CSV_TYPE, NDJSON_TYPE, STDIN, RejectsFile, Source
from wattbook_cli.usecases.import_files import import_file, may_mark, refusals

_LISTED = 20
_SPOOL_CHARS = 1024 * 1024
_COLUMNS = ("File", "Added", "Duplicate", "Conflict", "Invalid", "Sec.", "Rows/s")


@click.command("import")
@click.argument("names", metavar="FILE…", nargs=-1, required=True)
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), help="Where the suffix does not say.")
@click.option(
    "--rejects",
    type=click.Path(path_type=Path),
    help="Write every refused row with its reason into this file.",
)
@calls_gateway()
def import_files(session: Session, *, names: Sequence[str], form: str | None, rejects: Path | None) -> int:
    """Book trades from files (.csv as the exchange writes them, or .ndjson); ``-`` is standard input.

    Importing a file again is safe: nothing counts twice. Ends with 0 where every row is booked, 2 where
    rows were refused, 1 where a file failed.
    """
    if names.count(STDIN) > 1:
        raise Stop("standard input can be read only once")
    content_type = {"csv": CSV_TYPE, "ndjson": NDJSON_TYPE, None: None}[form]
    sources = [Source(name, content_type=content_type) for name in names]
    keeper = RejectsFile(rejects) if rejects else None
    with session.open() as gateway:
        return _import_all(gateway, sources, keeper)


def _import_all(gateway: Gateway, sources: Sequence[Source], keeper: RejectsFile | None) -> int:
    marked = may_mark(gateway.me())  # also says before anything is sent whether we may send
    outcomes: list[Outcome] = []
    failed = False
    try:
        for source in sources:
            try:
                outcomes.append(_import_one(gateway, source, keeper, marked=marked))
            except Stop as stop:
                complain(f"wattbook: {source.name}: {stop.message}")
                failed = True
    finally:
        if keeper:
            keeper.close()
        if outcomes:
            _show_summary(outcomes)
    refused = any(outcome.counts.refused for outcome in outcomes)
    return EXIT_FAILED if failed else EXIT_ROWS_REFUSED if refused else 0


def _import_one(gateway: Gateway, source: Source, keeper: RejectsFile | None, *, marked: bool) -> Outcome:
    clock = SystemClock()
    with tempfile.SpooledTemporaryFile(_SPOOL_CHARS, "w+", encoding="utf-8") as spool:
        with SendingBar(source.name, size_bytes=source.size_bytes, clock=clock) as bar:
            outcome = import_file(gateway, source, clock=clock, marked=marked, sent=bar.sent, spool=spool)
        if outcome.counts.refused:
            _show_refusals(source, outcome.counts, refusals(source, spool), keeper)
    return outcome


def _show_refusals(
    source: Source, counts: Counts, found: Iterator[Refusal], keeper: RejectsFile | None
) -> None:
    place = "Line" if source.path else "Row"
    made = table(place, "Id", "Result", "Why", figures=(place,))
    for refusal in islice(found, _LISTED):
        _keep(keeper, source, refusal)
        made.add_row(str(refusal.line or refusal.row), refusal.trade_id, refusal.result, refusal.reason)
    for refusal in found if keeper else ():
        _keep(keeper, source, refusal)
    shown = console()
    shown.print(f"Refused in {source.name}:", style="bold")
    shown.print(made)
    left = counts.refused - made.row_count
    if left > 0:
        shown.print(f"… and {left:,} more" + ("" if keeper else "; --rejects FILE writes all of them"))
    shown.print()


def _keep(keeper: RejectsFile | None, source: Source, refusal: Refusal) -> None:
    if keeper:
        keeper.add(source.name, refusal)


def _show_summary(outcomes: Sequence[Outcome]) -> None:
    made = table(*_COLUMNS, figures=_COLUMNS[1:])
    made.columns[0].overflow = "fold"  # a long name goes on below itself
    for outcome in outcomes:
        counts, seconds = outcome.counts, outcome.seconds
        made.add_row(
            Path(outcome.name).name,
            f"{counts.added:,}",
            f"{counts.duplicate:,}",
            f"{counts.conflict:,}",
            f"{counts.invalid:,}",
            f"{seconds:,.1f}",
            f"{counts.rows / seconds:,.0f}" if seconds > 0 else "–",
        )
    console().print(made)
