"""The reader of NEM13 files: 100, then 250 records each with its 550 records, then 900.

Source: AEMO, Meter Data File Format Specification NEM12 & NEM13. Two ways through a 250 record agree on every
input: the slow one looks at each field (``checks``); the quick one takes records whose fields of few values
were already found in order together, and whose numbers and times are as plain as they mostly are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

from meter_service.domain import checks
from meter_service.domain.codes import UNITS
from meter_service.domain.lines import Block, Unreadable, blocks
from meter_service.domain.problems import Findings
from meter_service.domain.records import FIELDS, Batch, Header, Reading
from meter_service.domain.values import DAYS, ISO_DAYS, MINUTES, SECONDS

MOST_FIELDS = 256
SHORTEST_250 = 20
_INDICATORS = {"100", "200", "250", "300", "400", "500", "550", "900"}
_KNOWN_AT_MOST = 50_000
_TEN = {power: 10**power for power in range(10)}
_SURELY_64_BITS = 18  # digits
_new = tuple.__new__
_PLAIN_KEYS = re.compile(r"[0-9A-Z]+", re.ASCII).fullmatch
_LENGTHS = {"100": 5, "250": len(FIELDS), "550": 5, "900": 1}


class Reader:
    """Reads one file. After :meth:`batches` has ended, what was found lies in the attributes."""

    def __init__(self, chunks: Iterable[bytes], *, name: str = "", is_quick: bool = True) -> None:
        """Of the file's bytes, piece by piece; ``name`` is compared with the header."""
        self.findings = Findings()
        self.header: Header | None = None
        self.records = 0
        self._chunks = chunks
        self._name = name
        self._is_quick = is_quick
        self._batch = Batch()
        self._line = 0
        self._owner = 0  # the line of the 250 that a 550 would belong to
        self._end = 0  # the line of the 900
        self._is_hopeless = False
        # What was found in order: fields of a meter's kind → the power of ten of its unit; of its qualities.
        self._kinds: dict[tuple[str, ...], tuple[int, str, str, str, str, str, str]] = {}
        self._qualities: dict[tuple[str, ...], tuple[str, str, str, str, str]] = {}
        # Of the NMI that is read: its first line, and suffixes of its configuration that were not met yet.
        self._nmi = ""
        self._left: tuple[int, list[str]] = 0, []
        self._absent: dict[str, tuple[int, list[str]]] = {}  # of those before

    def batches(self) -> Iterator[Batch]:
        """The readings, some thousand at a time; none any more after the first error."""
        try:
            for block in blocks(self._chunks, self.findings):
                self._read(block)
                if self._is_hopeless:
                    return
                yield from self._full()
        except Unreadable:
            return
        self._finish()
        if self._batch.readings and not self.findings.error_count:
            yield self._batch

    def _full(self) -> Iterator[Batch]:
        """The batch, and a new one; the last reading stays, since orders may still follow it."""
        if len(self._batch.readings) < 2:
            return
        last = self._batch.readings.pop()
        orders = self._batch.orders.pop(last.line, None)
        if not self.findings.error_count:
            yield self._batch
        self._batch = Batch([last], {last.line: orders} if orders else {})

    def _read(self, block: Block) -> None:
        numbered = iter(enumerate(block.lines, start=block.first))
        while not self._is_hopeless:
            is_quick = self._is_quick and block.is_plain and self.header is not None and not self._end
            found = self._quick(numbered) if is_quick else next(numbered, None)
            if found is None:
                return
            self._line, line = found
            self._slow(line)

    def _quick(self, numbered: Iterator[tuple[int, str]]) -> tuple[int, str] | None:
        """Read 250 records without anything unusual; the first line that is none, None at the end."""
        keep, kinds, qualities = self._batch.readings.append, self._kinds, self._qualities
        for number, line in numbered:
            try:
                (
                    indicator, nmi, configuration, register, suffix, stream, serial, direction,
                    previous_text, previous_time, previous_quality, previous_reason, previous_words,
                    value_text, time, quality_method, reason, words,
                    quantity_text, unit, next_day, updated, loaded,
                ) = line.split(",")  # fmt: skip
                power, configuration, register, suffix, stream, direction, unit = kinds[
                    indicator, configuration, register, suffix, stream, direction, unit
                ]
                previous_quality, previous_reason, quality, method, reason = qualities[
                    previous_quality, previous_reason, previous_words, quality_method, reason, words
                ]
                is_short = len(nmi) == 10 and serial and len(line) <= checks.LONGEST_FIELD
                if not is_short or previous_time > time or not _PLAIN_KEYS(nmi + serial):
                    return number, line
                keep(_new(Reading, (
                    nmi, serial, register, suffix,
                    DAYS[time[:8]] + MINUTES[time[8:12]] + SECONDS[time[12:]],
                    value_text, _plain(value_text, 3), quality, method, reason, "",
                    quantity_text, _plain(quantity_text, power), unit, direction,
                    previous_text, _plain(previous_text, 3),
                    DAYS[previous_time[:8]] + MINUTES[previous_time[8:12]] + SECONDS[previous_time[12:]],
                    previous_quality, previous_reason, "", ISO_DAYS[next_day] if next_day else None,
                    DAYS[updated[:8]] + MINUTES[updated[8:12]] + SECONDS[updated[12:]] if updated else None,
                    DAYS[loaded[:8]] + MINUTES[loaded[8:12]] + SECONDS[loaded[12:]] if loaded else None,
                    configuration, stream, "", "", number,
                )))  # fmt: skip
            except (KeyError, ValueError):
                return number, line
            self._owner = number
            self.records += 1
            if len(configuration) > 2:
                self._note_suffix(nmi, configuration, suffix, number)
        return None

    def _slow(self, line: str) -> None:
        """Any line."""
        fields = self._fields(line)
        if fields is None:
            return
        indicator = fields[0]
        self._check_place(indicator)
        if self._is_hopeless:
            return
        if (length := _LENGTHS.get(indicator)) is not None:
            fields = self._of_length(fields, length)
        if indicator == "100":
            self._header(fields)
        elif indicator == "250":
            self._reading(fields)
        elif indicator == "550":
            self._order(fields)
        elif indicator == "900":
            self._end = self._end or self._line

    def _fields(self, line: str) -> list[str] | None:
        """The fields without spaces around them; None of a line without any, or of one that cannot be cut."""
        if not line.strip(", \t"):
            return None
        if "\0" in line:
            self._error("", line, "text without NUL characters")
            return None
        fields = self._cut(line) if '"' in line else line.split(",")
        if fields is None:
            return None
        stripped = [field.strip() for field in fields]
        if stripped != fields:
            for given, kept in zip(fields, stripped, strict=True):
                if given != kept:
                    self.findings.warn("spaces", self._line)
        if len(stripped) > MOST_FIELDS:
            self._error(stripped[0][:3], "", f"at most {MOST_FIELDS} fields: there are {len(stripped):,}")
            return None
        return None if checks.too_long(stripped, self._line, self.findings) else stripped

    def _cut(self, line: str) -> list[str] | None:
        try:
            fields = next(csv.reader([line], strict=True))
        except csv.Error:
            shown = line[-40:]
            self._error(line[:3], shown, "a quote that is closed in the same line: a record is one line")
            return None
        if any("," in field for field in fields):
            self.findings.warn("quoted_comma", self._line)
        return fields

    def _of_length(self, fields: list[str], length: int) -> list[str]:
        """As long as the record is: what is missing is blank, what is too much is left out."""
        if any(fields[length:]):
            self.findings.warn("surplus", self._line)
        if fields[0] == "250" and len(fields) < SHORTEST_250:
            self._error("250", "", f"at least {SHORTEST_250} fields: there are {len(fields)}")
        return fields[:length] + [""] * (length - len(fields))

    def _check_place(self, indicator: str) -> None:
        """Whether a record may stand here."""
        is_first = self.header is None and not self.findings.error_count
        if indicator not in _INDICATORS:
            if is_first:
                self._give_up(indicator, "a flow file, which begins with a 100 record: this is no flow file")
                return
            self._error(indicator[:10], indicator, f"{self._expected()} was expected")
        elif self._end:
            self._error(indicator, "", f"nothing after the 900 record of line {self._end}")
        elif indicator == "100":
            if self.header is not None:
                self._error("100", "", f"{self._expected()}: there is a 100 record already")
        elif self.header is None:
            if is_first:
                self._error(indicator, "", "a 100 record as the first one")
        elif indicator in {"200", "300", "400", "500"}:
            self._error(
                indicator, "", f"{self._expected()}: this is a record of NEM12, the header says NEM13"
            )

    def _expected(self) -> str:
        if self.header is None:
            return "a 100 record"
        return "a 250, 550 or 900 record" if self._owner else "a 250 or 900 record"

    def _header(self, fields: list[str]) -> None:
        if self.header is not None:
            return
        self.header = header = checks.header(fields, self._line, self.findings)
        if header.version == "NEM12":
            self._give_up(fields[1], "NEM13: NEM12 is not read yet", field="VersionHeader")
        elif header.version != "NEM13":
            self._give_up(fields[1], "NEM13", field="VersionHeader")
        parts = self._name.upper().split("#")
        parts[-1] = parts[-1].partition(".")[0]
        given = [header.version, header.sender.upper(), header.recipient.upper()]
        if len(parts) == 4 and [parts[0], *parts[2:]] != given:
            self.findings.warn("name_unlike_header", self._line)

    def _reading(self, fields: list[str]) -> None:
        self.records += 1
        self._owner = self._line
        before = self.findings.error_count, self.findings.warning_count
        reading = checks.reading(fields, self._line, self.findings)
        if reading is None:
            return
        self._batch.readings.append(reading)
        if len(reading.configuration) > 2:
            self._note_suffix(reading.nmi, reading.configuration, reading.suffix, self._line)
        if before == (self.findings.error_count, self.findings.warning_count):
            self._remember(fields, reading)

    def _remember(self, fields: list[str], reading: Reading) -> None:
        """For the quick way: what was in order here is in order elsewhere."""
        if len(self._kinds) + len(self._qualities) > _KNOWN_AT_MOST:
            self._kinds.clear()
            self._qualities.clear()
        kind = tuple(fields[at] for at in (0, 2, 3, 4, 5, 7, 19))
        self._kinds[kind] = (
            UNITS[reading.unit.lower()], reading.configuration, reading.register, reading.suffix,
            reading.data_stream, reading.direction, reading.unit,
        )  # fmt: skip

        if not reading.reason_text and not reading.previous_reason_text:
            self._qualities[tuple(fields[at] for at in (10, 11, 12, 15, 16, 17))] = (
                reading.previous_quality, reading.previous_reason_code,
                reading.quality, reading.method, reading.reason_code,
            )  # fmt: skip

    def _note_suffix(self, nmi: str, configuration: str, suffix: str, line: int) -> None:
        """So that suffixes without a reading are told; the records of an NMI mostly follow each other."""
        if nmi != self._nmi:
            self._keep_absent()
            self._nmi = nmi
            self._left = self._absent.pop(nmi, (line, checks.suffixes(configuration)))
        if suffix in self._left[1]:
            self._left[1].remove(suffix)

    def _keep_absent(self) -> None:
        if self._left[1] and len(self._absent) < _KNOWN_AT_MOST:
            self._absent[self._nmi] = self._left

    def _order(self, fields: list[str]) -> None:
        if not self._owner:
            self._error("550", "", f"{self._expected()}: a 550 record follows its 250")
            return
        order = checks.service_order(fields, self._line, self.findings)
        self._batch.orders.setdefault(self._owner, []).append(order)

    def _finish(self) -> None:
        if self.header is None and not self.findings.error_count:
            self.findings.error(0, "", "", "", "a flow file: this one is empty")
        elif self.header is not None and not self._end:
            self._line += 1
            self._error("", "", f"{self._expected()}: the file ends without its 900 record, so it is cut off")
        elif not self.records:
            self.findings.warn("no_readings", self._end)
        self._keep_absent()
        for line, absent in self._absent.values():
            for _ in absent:
                self.findings.warn("suffix_absent", line)

    def _error(self, record: str, found: str, expected: str, *, field: str = "") -> None:
        self.findings.error(self._line, record, field, found, expected)

    def _give_up(self, found: str, expected: str, *, field: str = "") -> None:
        """Nothing that follows could be understood."""
        self._error("100" if field else "", found, expected, field=field)
        self._is_hopeless = True


def _plain(text: str, power: int) -> int:
    """A number of digits with at most one point among them, and no finer than ``power``.

    Raises:
        ValueError, KeyError: it is none, or too large to be sure that it fits.
    """
    whole, _, part = text.partition(".")
    digits = whole + part
    if not digits.isdigit() or len(digits) + power > _SURELY_64_BITS:
        raise ValueError
    return int(digits) * _TEN[power - len(part)]
