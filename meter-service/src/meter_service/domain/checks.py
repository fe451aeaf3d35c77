"""One record, looked at field by field: everything that is wrong or unusual about it is noted."""

from __future__ import annotations

from dataclasses import dataclass

from meter_service.domain import values
from meter_service.domain.codes import (
    METHODS,
    NEGATIVE_CONSUMPTION,
    QUALITIES,
    REASON_CODES,
    TRANSACTIONS,
    UNITS,
)
from meter_service.domain.nmi import check_digit, is_nmi
from meter_service.domain.problems import Findings
from meter_service.domain.records import FIELDS, Header, Reading, ServiceOrder

LONGEST_FIELD = 240
READ_POWER = 3  # thousandths of the dial's own unit


@dataclass(slots=True)
class Record:
    """A record's place, and where to note what is found about it."""

    line: int
    indicator: str
    findings: Findings

    def error(self, name: str, found: str, expected: str) -> None:
        """Note an error of a field."""
        self.findings.error(self.line, self.indicator, name, found, expected)

    def warn(self, kind: str) -> None:
        """Note a warning."""
        self.findings.warn(kind, self.line)

    def instant(self, name: str, text: str) -> int | None:
        """A date and time of 14 digits; None where it is missing or wrong."""
        if not text:
            return None
        try:
            return values.instant(text)
        except ValueError as error:
            self.error(name, text, str(error))
            return None

    def number(self, name: str, text: str, power: int) -> int | None:
        """A number times 10 to the ``power``; None where it is missing or wrong."""
        if not text:
            return None
        try:
            number, is_rounded = values.scaled(text, power)
        except ValueError as error:
            self.error(name, text, str(error) + values.hint(text))
            return None
        if is_rounded:
            self.warn("rounded")
        return number

    def required(self, name: str, text: str) -> None:
        """Note where it is missing."""
        if not text:
            self.error(name, "", "a value: it must not be blank")


def reading(fields: list[str], line: int, findings: Findings) -> Reading | None:
    """The reading of a 250 record of 23 fields without spaces around them; None where something is wrong."""
    record = Record(line, "250", findings)
    before = findings.error_count
    (
        _, nmi_sent, configuration, register, suffix, stream, serial_sent, direction,
        previous_text, previous_time, previous_quality, previous_reason, previous_words,
        value_text, time, quality_method, reason, words,
        quantity_text, unit, next_day, updated, loaded,
    ) = fields  # fmt: skip
    nmi, serial = nmi_sent.upper(), serial_sent.upper()
    _check_identity(record, nmi, configuration, suffix, serial)
    if direction.upper() not in {"E", "I"}:
        record.warn("unknown_direction")
    quality, method = _quality(record, "Current", quality_method, reason)
    _previous_quality(record, previous_quality, previous_reason)
    record.required("CurrentRegisterRead", value_text)
    record.required("CurrentRegisterReadDateTime", time)
    value = record.number("CurrentRegisterRead", value_text, READ_POWER)
    read_at = record.instant("CurrentRegisterReadDateTime", time)
    previous_value = record.number("PreviousRegisterRead", previous_text, READ_POWER)
    previous_at = record.instant("PreviousRegisterReadDateTime", previous_time)
    if read_at is not None and previous_at is not None and read_at < previous_at:
        record.warn("current_before_previous")
    quantity = _quantity(record, quantity_text, unit, reason)
    next_read_on = _day(record, next_day)
    updated_at, loaded_at = _update_time(record, updated), record.instant("MSATSLoadDateTime", loaded)
    if findings.error_count > before or read_at is None or value is None:
        return None
    return Reading(
        nmi, serial, register, suffix, read_at, value_text, value, quality, method, reason, words,
        quantity_text, quantity, unit, direction.upper(), previous_text, previous_value, previous_at,
        previous_quality.upper(), previous_reason, previous_words, next_read_on, updated_at, loaded_at,
        configuration, stream, "" if nmi_sent == nmi else nmi_sent,
        "" if serial_sent == serial else serial_sent, line,
    )  # fmt: skip


def suffixes(configuration: str) -> list[str]:
    """The suffixes of an NMIConfiguration, two characters each."""
    return [configuration[at : at + 2] for at in range(0, len(configuration), 2)]


def service_order(fields: list[str], line: int, findings: Findings) -> ServiceOrder:
    """Of a 550 record of 5 fields."""
    order = ServiceOrder(*fields[1:])
    for code in (order.previous_code, order.current_code):
        if code and code.upper() not in TRANSACTIONS:
            findings.warn("unknown_transaction", line)
    return order


def header(fields: list[str], line: int, findings: Findings) -> Header:
    """Of a 100 record of 5 fields, of whatever version."""
    _, version, created, sender, recipient = fields
    return Header(version.upper(), _created(Record(line, "100", findings), created), sender, recipient)


def too_long(fields: list[str], line: int, findings: Findings) -> bool:
    """Whether a field is longer than any of the format may be; noted."""
    if max(map(len, fields)) <= LONGEST_FIELD:
        return False
    for at, text in enumerate(fields):
        if len(text) > LONGEST_FIELD:
            name = FIELDS[at] if fields[0] == "250" and at < len(FIELDS) else f"field {at + 1}"
            findings.error(line, fields[0][:3], name, text, f"at most {LONGEST_FIELD} characters")
    return True


def _created(record: Record, text: str) -> int | None:
    """Where the record came from needs no date: one that a spreadsheet spoiled is missing."""
    if not text or values.SPREADSHEET.fullmatch(text):
        record.warn("header_date")
        return None
    try:
        return values.instant(text + "00" if len(text) == 12 else text)
    except ValueError:
        record.error("DateTime", text, "12 digits, YYYYMMDDhhmm, of a time that exists")
        return None


def _check_identity(record: Record, nmi: str, configuration: str, suffix: str, serial: str) -> None:
    if not is_nmi(nmi):
        record.error("NMI", nmi, _expected_nmi(nmi))
    if not serial:
        record.warn("blank_serial")
    if suffix not in suffixes(configuration):
        record.warn("suffix_not_configured")


def _expected_nmi(text: str) -> str:
    if not text:
        return "an NMI: it must not be blank"
    if len(text) == 11 and is_nmi(text[:10]) and text[10] == check_digit(text[:10]):
        return f"10 characters, without the check digit: {text[:10]}"
    mangled = values.hint(text) or (" (saved by a spreadsheet?)" if "." in text else "")
    return "10 characters of 0-9 and A-Z" + mangled


def _quality(record: Record, which: str, text: str, reason: str) -> tuple[str, str]:
    """Quality flag and method; both are checked, and so is the reason."""
    quality, method = text[:1].upper(), text[1:]
    if quality not in QUALITIES:
        record.error(f"{which}QualityMethod", text, "A, E, S or F, and its method of two digits")
    if method and method not in METHODS:
        record.warn("unknown_method")
    if quality in {"E", "S", "F"} and not method:
        record.warn("no_method")
    if quality in {"S", "F"} and not reason:
        record.warn("no_reason")
    if reason and (reason.lstrip("0") or "0") not in REASON_CODES:
        record.warn("unknown_reason")
    return quality, method


def _previous_quality(record: Record, text: str, reason: str) -> None:
    if not text:
        return
    quality, _ = _quality(record, "Previous", text, reason)
    if quality == "E":
        record.warn("previous_estimate")


def _quantity(record: Record, text: str, unit: str, reason: str) -> int | None:
    power = UNITS.get(unit.lower())
    if power is None:
        record.warn("unknown_unit")
    if not text:
        record.warn("blank_quantity")
        return None
    quantity = record.number("Quantity", text, READ_POWER if power is None else power)
    if quantity is not None and quantity < 0 and reason != NEGATIVE_CONSUMPTION:
        record.warn("negative_quantity")
    return quantity


def _day(record: Record, text: str) -> str | None:
    if not text:
        return None
    try:
        return values.iso_day(text)
    except ValueError as error:
        record.error("NextScheduledReadDate", text, str(error))
        return None


def _update_time(record: Record, text: str) -> int | None:
    if len(text) == 12:
        record.warn("short_update_time")
        text += "00"
    return record.instant("UpdateDateTime", text)
