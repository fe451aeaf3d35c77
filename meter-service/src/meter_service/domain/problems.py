"""What is wrong with a flow file (it is rejected), and what is unusual about it (it is imported)."""

from __future__ import annotations

from dataclasses import dataclass, field

ERRORS_KEPT = 1000
LINES_KEPT = 10
_LONGEST_SHOWN = 80

WARNINGS = {
    "blank_quantity": "Quantity is blank: kept as missing",
    "blank_serial": "MeterSerialNumber is blank",
    "cp1252": "not UTF-8: read as Windows-1252",
    "current_before_previous": "the current read is earlier than the previous one",
    "different_in_file": "the same register and time twice, not the same content: the later is current",
    "duplicate_in_file": "the same reading twice: stored once",
    "header_date": "the header's date cannot be read: kept as missing",
    "name_unlike_header": "the file's name says otherwise than its header",
    "negative_quantity": "Quantity is negative",
    "no_method": "an estimate or a substitute without its method",
    "no_readings": "there are no readings in it",
    "no_reason": "a substitute without its reason",
    "previous_estimate": "the previous read is an estimate",
    "quoted_comma": "a comma within quotes",
    "rounded": "finer than a thousandth: rounded half to even, the text is kept as sent",
    "short_update_time": "UpdateDateTime of 12 digits: taken as second 00",
    "spaces": "spaces around a field: left out",
    "suffix_absent": "a suffix of the configuration has no reading in the file",
    "suffix_not_configured": "the suffix is not in the configuration",
    "surplus": "more fields than the record has: left out",
    "unknown_direction": "DirectionIndicator is neither E nor I",
    "unknown_method": "a method that is not in the list",
    "unknown_reason": "a reason code that is not in the list",
    "unknown_transaction": "a transaction code that is not in the list",
    "unknown_unit": "a unit that is not in the list: Quantity is kept in thousandths of it",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file is rejected: what stood where, and what would be right. Line 0 is the file as a whole."""

    line: int
    record: str
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        """In one line."""
        place = " ".join(part for part in (self.record, self.field) if part)
        found = f"{self.found!r}; " if self.found else ""
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{place}{': ' if place else ''}{found}{self.expected}"


@dataclass(slots=True)
class Warned:
    """One kind of warning in a file."""

    count: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Findings:
    """What a file was found to have; the first 1,000 errors, each kind of warning with its first lines."""

    errors: list[Problem] = field(default_factory=list)
    error_count: int = 0
    warnings: dict[str, Warned] = field(default_factory=dict)

    def error(self, line: int, record: str, name: str, found: str, expected: str) -> None:
        """Note an error."""
        self.error_count += 1
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(Problem(line, record, name, shown(found), expected))

    def warn(self, kind: str, line: int) -> None:
        """Note a warning; ``kind`` is one of :data:`WARNINGS`."""
        warned = self.warnings.setdefault(kind, Warned())
        warned.count += 1
        if len(warned.lines) < LINES_KEPT and line not in warned.lines:
            warned.lines.append(line)

    @property
    def warning_count(self) -> int:
        """Of all kinds."""
        return sum(warned.count for warned in self.warnings.values())


def shown(text: str) -> str:
    """The beginning of what a sender wrote, in one printable line."""
    short = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}… ({len(text):,} characters)"
    return "".join(char if char.isprintable() else "\ufffd" for char in short)
