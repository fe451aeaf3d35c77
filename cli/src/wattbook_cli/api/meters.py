"""``wattbook meters``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.table import Table
from wattbook.clock import SystemClock

from wattbook_cli.api.options import Session, calls_gateway
from wattbook_cli.api.progress import SendingBar
from wattbook_cli.api.tables import console, plain, table
from wattbook_cli.api.terminal import complain, counted, exact_json, pass_through, say
from wattbook_cli.clients.gateway import Gateway, exact
from wattbook_cli.domain.stops import EXIT_FAILED, EXIT_ROWS_REFUSED, Stop
from wattbook_cli.usecases import meters as usecases

_SHOWN = 50
_ERRORS_SHOWN = 20
_COUNTS = ("records", "stored", "duplicates", "superseded", "warning_count", "error_count")
_COUNT_COLUMNS = ("Records", "Stored", "Dupl.", "Old", "Warn.", "Errors")
F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def meters() -> None:
    """Meter readings, and the flow files (NEM13) that bring them. Times are market time, UTC+10."""


def _forms(command: F) -> F:
    """Give a command ``--json`` and ``--csv``."""
    for option in (
        click.option("--csv", "form", flag_value="csv", help="CSV in the API's columns."),
        click.option("--json", "form", flag_value="json", help="A JSON array, exact."),
    ):
        command = option(command)
    return command


@meters.command()
@click.argument("name", metavar="NMI")
@click.option("--serial", "is_serial", is_flag=True, help="It is a meter's serial number instead.")
@click.option("--from", "since", help="Read at or after: 2026-01-31, or with its time and offset.")
@click.option("--to", "before", help="Read before.")
@click.option("--quality", type=click.Choice(["A", "E", "S", "F"]), help="Only of this quality.")
@click.option("--all-versions", is_flag=True, help="Those that were replaced, too.")
@click.option("--limit", type=click.IntRange(1), help="At most so many (50 in a table, else all).")
@_forms
@calls_gateway()
def find(
    session: Session, *, name: str, is_serial: bool, since: str | None, before: str | None,
    quality: str | None, all_versions: bool, limit: int | None, form: str | None,
) -> None:  # fmt: skip
    """Find the readings of a meter point by its NMI (10 or 11 characters), newest first."""
    query = {
        "meter_serial" if is_serial else "nmi": name, "from": since, "to": before, "quality": quality,
        "versions": "all" if all_versions else None,
    }  # fmt: skip
    with session.open() as gateway:
        if form == "csv":
            return pass_through(usecases.readings_csv(gateway, query=query))
        most = limit or (None if form else _SHOWN)
        found = usecases.readings(gateway, query=query, limit=most)
    if form == "json":
        say(exact_json(found))
    elif found:
        console().print(_readings(found))
        say(
            f"\n{counted(len(found), 'reading')} shown"
            + (", there may be more" if len(found) == most else "")
        )
    else:
        say(f"No readings of {'a meter with the serial number' if is_serial else 'the NMI'} {name}.")
    return None


def _readings(found: Sequence[Mapping[str, Any]]) -> Table:
    made = table("Read at", "NMI", "Meter", "Register", "Value", "Unit", "Quality", figures=("Value",))
    for each in found:
        quality = each["quality_words"] + ("" if each["current"] else " (replaced)")
        made.add_row(
            _time(each["read_at"]), plain(each["nmi"]), plain(each["meter_serial"] or "–"),
            plain(f"{each['register_id']} {each['suffix']}"), each["value"], plain(each["unit"]),
            plain(quality),
        )  # fmt: skip
    return made


@meters.command()
@click.argument("nmi")
@click.option("--json", "as_json", is_flag=True, help="The API's JSON as it is.")
@calls_gateway()
def show(session: Session, *, nmi: str, as_json: bool) -> None:
    """Show a meter point: its meters and registers, and how sure their newest reading is."""
    with session.open() as gateway:
        if as_json:
            return pass_through([usecases.meter_point(gateway, nmi)])
        point = exact(usecases.meter_point(gateway, nmi).decode())
    say(f"NMI {point['nmi']}, check digit {point['check_digit']}\n")
    made = table(
        "Meter", "Register", "Last read", "Value", "Unit", "How sure", "Next read", figures=("Value",)
    )
    for meter in point["meters"]:
        for register in meter["registers"]:
            made.add_row(plain(meter["serial"] or "–"), *_register(register))
    console().print(made)
    return None


def _register(register: Mapping[str, Any]) -> list[Any]:
    last = register["last"] or {}
    sure = last.get("quality_words", "–")
    if since := register["not_actual_since"]:
        actual = register["last_actual"]
        sure += f"; so since {_time(since)}, last actual read "
        sure += _time(actual["read_at"]) if actual else "none"
    due = register["next_read_on"] or "–"
    name = f"{register['register_id']} {register['suffix']}"
    return [
        plain(name), _time(last.get("read_at")), last.get("value", "–"), plain(register["unit"]),
        plain(sure), due + (" overdue" if register["overdue"] else ""),
    ]  # fmt: skip


@meters.command("import")
@click.argument("paths", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would become of them and keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="What became of each, for programs.")
@calls_gateway()
def import_files(session: Session, *, paths: Sequence[Path], dry_run: bool, as_json: bool) -> int:
    """Import flow files, or zips of them; the same content again changes nothing.

    Ends with 0 where all are in, 2 where some were rejected, 1 where a file could not be sent.
    """
    answers: list[dict[str, Any]] = []
    failed = False
    with session.open() as gateway:
        for path in paths:
            try:
                answers.append(_import_one(gateway, path, dry_run=dry_run))
            except Stop as stop:
                complain(f"wattbook: {path}: {stop.message}")
                failed = True
    files = [file for answer in answers for file in answer["files"]]
    if as_json:
        say(exact_json(files))
    else:
        _show_imported(files, [name for answer in answers for name in answer["left_alone"]])
    is_rejected = any("status_code" in answer or _is_rejected(answer) for answer in answers)
    return EXIT_FAILED if failed else EXIT_ROWS_REFUSED if is_rejected else 0


def _import_one(gateway: Gateway, path: Path, *, dry_run: bool) -> dict[str, Any]:
    if path.is_dir():
        raise Stop("it is a folder; name its files")
    size_bytes = path.stat().st_size if path.exists() else None
    with SendingBar(path.name, size_bytes=size_bytes, clock=SystemClock(), then="importing") as bar:
        return usecases.import_file(gateway, path, dry_run=dry_run, sent=bar.sent)


def _is_rejected(answer: Mapping[str, Any]) -> bool:
    return any(file["error_count"] for file in answer["files"])


def _show_imported(files: Sequence[Mapping[str, Any]], left_alone: Sequence[str]) -> None:
    if not files:
        return
    made = table("File", "Result", *_COUNT_COLUMNS, figures=_COUNT_COLUMNS)
    made.columns[0].overflow = "fold"
    for file in files:
        made.add_row(plain(_title(file)), file["result"], *(f"{file[name]:,}" for name in _COUNTS))
    console().print(made)
    for file in files:
        _show_problems(file)
    for name in left_alone:
        say(f"left alone, no flow file by its name: {name}")


def _show_problems(file: Mapping[str, Any]) -> None:
    errors = file["errors"][:_ERRORS_SHOWN]
    if errors or file["warnings"]:
        say(f"\n{_title(file)}:")
    for each in errors:
        place = " ".join(str(each[name]) for name in ("record", "field") if each[name])
        parts = (f"line {each['line']}" if each["line"] else "", place, each["found"] and repr(each["found"]))
        say("  " + ": ".join(part for part in (*parts, each["expected"]) if part))
    if file["error_count"] > len(errors):
        say(f"  … and {file['error_count'] - len(errors):,} more errors")
    for each in file["warnings"]:
        lines = ", ".join(map(str, each["lines"]))
        say(f"  warning, {each['count']:,} times: {each['text']}" + (f" (lines {lines})" if lines else ""))


def _title(file: Mapping[str, Any]) -> str:
    return f"{file['name']}/{file['member']}" if file["member"] else str(file["name"])


@meters.command()
@click.argument("number", metavar="[NUMBER]", required=False, type=click.IntRange(1))
@click.option("--state", type=click.Choice(["received", "imported", "rejected", "withdrawn"]))
@click.option("--limit", type=click.IntRange(1), help="At most so many (50 in a table, else all).")
@_forms
@calls_gateway()
def files(
    session: Session, *, number: int | None, state: str | None, limit: int | None, form: str | None
) -> None:
    """List flow files, newest first; or show one with its warnings and errors."""
    with session.open() as gateway:
        if number is not None:
            found = usecases.file(gateway, number)
            return say(exact_json(found)) if form else _show_file(found)
        query = {"state": state}
        if form == "csv":
            return pass_through(usecases.files_csv(gateway, query=query))
        listed = usecases.files(gateway, query=query, limit=limit or (None if form else _SHOWN))
    if form == "json":
        return say(exact_json(listed))
    if not listed:
        return say("No flow files.")
    made = table("No.", "Received", "File", "State", "Records", "Warn.", "Errors", figures=("No.", "Records"))
    for each in listed:
        made.add_row(
            str(each["id"]), _time(each["received"]), plain(_title(each)), each["state"],
            f"{each['records']:,}", f"{each['warning_count']:,}", f"{each['error_count']:,}",
        )  # fmt: skip
    console().print(made)
    return None


def _show_file(file: Mapping[str, Any]) -> None:
    made = table("", "")
    made.show_header = False
    withdrawn = f" by {file['withdrawn_by']}: {file['withdrawn_reason']}" if file["withdrawn_by"] else ""
    for name, value in (
        ("Number", file["id"]),
        ("File", _title(file)),
        ("State", f"{file['state']}{withdrawn}"),
        ("Received", f"{_time(file['received'])} from {file['received_from']} ({file['way']})"),
        ("Content", f"{file['kind'] or '–'}, {file['size_bytes']:,} bytes, SHA-256 {file['sha256']}"),
        ("Records", f"{file['records']:,} = {file['stored']:,} stored + {file['duplicates']:,} duplicates"
                    f" + {file['superseded']:,} superseded on arrival"),
    ):  # fmt: skip
        made.add_row(name, plain(value))
    console().print(made)
    _show_problems(file)


@meters.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why; it is kept with your name.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The API's JSON.")
@calls_gateway()
def withdraw(session: Session, *, number: int, reason: str, is_sure: bool, as_json: bool) -> int:
    """Take back what a flow file brought: what it replaced is current again, its record stays."""
    with session.open() as gateway:
        if not is_sure and not _agreed(usecases.withdraw(gateway, number, dry_run=True)):
            return EXIT_FAILED
        done = usecases.withdraw(gateway, number, reason=reason)
    if as_json:
        say(exact_json(done))
    else:
        say(f"{_title(done['file'])}: {_changes(done)}, withdrawn by {done['file']['withdrawn_by']}.")
    return 0


def _agreed(preview: Mapping[str, Any]) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        raise Stop(f"{_title(preview['file'])}: {_changes(preview)}; --yes withdraws it without a question")
    return click.confirm(f"{_title(preview['file'])}: {_changes(preview)}. Withdraw it?", err=True)


def _changes(done: Mapping[str, Any]) -> str:
    return f"{counted(done['removed'], 'reading')} gone, {done['restored']:,} current again"


def _time(instant: str | None) -> str:
    """In market time, as the API says it."""
    return instant[:19].replace("T", " ") if instant else "–"
