"""``manage.py import_flow_files``: flow files from paths, folders, archives or standard input."""

from __future__ import annotations

import getpass
import io
import json
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand
from wattbook.clock import SystemClock
from wattbook.errors import WattbookError

from meter_service.domain.files import Outcome, Result, is_flow_file_name
from meter_service.domain.problems import WARNINGS
from meter_service.settings import CONFIGURED
from meter_service.store.connection import prepare
from meter_service.usecases import Sender, import_file, look_at

_SHOWN_ERRORS = 20
_SOME_REJECTED, _COULD_NOT_RUN = 1, 2


class Command(BaseCommand):
    """The command; exit status 0: all are in, 1: some were rejected, 2: it could not run."""

    help = (
        "Import NEM13 flow files: files, folders (not those within), zip archives, or - for standard input. "
        "The store is the one that WATTBOOK_METER_STORE_URL names, else data/stores/meter.db of this folder, "
        "which is that of `make up`. It works whether or not Wattbook runs. "
        "Exit status: 0 all are in, 1 some were rejected or could not be read, 2 it could not run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """As Django asks."""
        parser.add_argument("paths", nargs="+", metavar="PATH")
        parser.add_argument("--dry-run", action="store_true", help="read and check only; nothing is stored")
        parser.add_argument("--json", action="store_true", help="one JSON object a file on standard output")
        parser.add_argument("--by", default="", help="who sends them (default: the user of this machine)")

    def handle(self, *_: Any, **options: Any) -> None:
        """Import them, one after the other; what cannot be read is named and the others still go in."""
        sender = Sender(options["by"] or _user(), "command")
        tally: dict[str, int] = {}
        try:
            prepare(migrate=CONFIGURED.store_migrate)
            for outcome in self._outcomes(options["paths"], sender, is_dry=options["dry_run"]):
                tally[outcome.result] = tally.get(outcome.result, 0) + 1
                self._tell(outcome, as_json=options["json"])
        except WattbookError as error:
            self.stderr.write(error.message)
            sys.exit(_COULD_NOT_RUN)
        if not options["json"]:
            self.stdout.write(
                ", ".join(f"{count} {result}" for result, count in tally.items()) or "nothing to do"
            )
        if tally.get(Result.REJECTED):
            sys.exit(_SOME_REJECTED)

    def _outcomes(self, paths: list[str], sender: Sender, *, is_dry: bool) -> Iterator[Outcome]:
        for name, source in _sources(paths):
            if isinstance(source, Outcome):
                yield source
                continue
            with source:
                if sys.stderr.isatty():
                    self.stderr.write(f"reading {name} …")
                yield from (
                    look_at(source, name=name)
                    if is_dry
                    else import_file(source, name=name, sender=sender, clock=SystemClock())
                )

    def _tell(self, outcome: Outcome, *, as_json: bool) -> None:
        counts = outcome.counts
        if as_json:
            self.stdout.write(json.dumps(_as_json(outcome), ensure_ascii=False))
            return
        says = f"{outcome.title}: {outcome.result}"
        if outcome.result in {Result.IMPORTED, Result.KNOWN}:
            says += (
                f": {counts.records:,} records = {counts.stored:,} stored + {counts.duplicates:,} duplicates"
                f" + {counts.superseded:,} superseded on arrival"
            )
        elif outcome.result == Result.VALID:
            says += f": {counts.records:,} records"
        self.stdout.write(says)
        for kind, warned in outcome.findings.warnings.items():
            lines = ", ".join(map(str, warned.lines[:5]))
            self.stdout.write(f"  warning: {WARNINGS[kind]} ({warned.count:,}; lines {lines})")
        for error in outcome.findings.errors[:_SHOWN_ERRORS]:
            self.stdout.write(f"  {error}")
        if (more := outcome.findings.error_count - _SHOWN_ERRORS) > 0:
            self.stdout.write(f"  and {more:,} more errors")


def _sources(paths: list[str]) -> Iterator[tuple[str, BinaryIO | Outcome]]:
    """The files of the paths, opened, or why one is not."""
    for text in paths:
        if text == "-":
            yield "standard input", _standard_input()
            continue
        path = Path(text)
        try:
            members = sorted(path.iterdir()) if path.is_dir() else [path]
        except OSError as error:
            yield text, _unreadable(text, error)
            continue
        for member in members:
            if path.is_dir() and not _is_taken(member):
                yield member.name, Outcome(member.name, Result.LEFT_ALONE)
                continue
            try:
                yield member.name, member.open("rb")
            except OSError as error:
                yield str(member), _unreadable(str(member), error)


def _is_taken(member: Path) -> bool:
    """Whether a folder's entry is imported: a plain file, named as a flow file or an archive may be."""
    is_named = is_flow_file_name(member.name) or member.suffix.lower() == ".zip"
    return is_named and member.is_file() and not member.is_symlink() and not member.name.startswith(".")


def _standard_input() -> BinaryIO:
    """All of it, in a file that has no name: it is read more than once."""
    held = tempfile.TemporaryFile()  # noqa: SIM115  # whoever asked closes it
    while chunk := sys.stdin.buffer.read(io.DEFAULT_BUFFER_SIZE * 32):
        held.write(chunk)
    return held


def _unreadable(name: str, error: OSError) -> Outcome:
    outcome = Outcome(name, Result.REJECTED, reason=error.strerror or str(error))
    outcome.findings.error(0, "", "", "", f"a file that can be read: {outcome.reason}")
    return outcome


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _as_json(outcome: Outcome) -> dict[str, Any]:
    counts, findings = outcome.counts, outcome.findings
    return {
        "file": outcome.title,
        "result": outcome.result,
        "id": outcome.file_id,
        "sha256": outcome.sha256 or None,
        "records": counts.records,
        "stored": counts.stored,
        "duplicates": counts.duplicates,
        "superseded_on_arrival": counts.superseded,
        "warnings": [
            {"kind": kind, "text": WARNINGS[kind], "count": warned.count, "lines": warned.lines}
            for kind, warned in findings.warnings.items()
        ],
        "error_count": findings.error_count,
        "errors": [
            {"line": e.line, "record": e.record, "field": e.field, "found": e.found, "expected": e.expected}
            for e in findings.errors
        ],
    }
