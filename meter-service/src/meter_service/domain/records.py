"""What a NEM13 file says: its header, readings, service orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

# Of a 250 record, in the order of the format (MDFF v2.5, section 5).
FIELDS = (
    "RecordIndicator", "NMI", "NMIConfiguration", "RegisterID", "NMISuffix", "MDMDataStreamIdentifier",
    "MeterSerialNumber", "DirectionIndicator", "PreviousRegisterRead", "PreviousRegisterReadDateTime",
    "PreviousQualityMethod", "PreviousReasonCode", "PreviousReasonDescription", "CurrentRegisterRead",
    "CurrentRegisterReadDateTime", "CurrentQualityMethod", "CurrentReasonCode", "CurrentReasonDescription",
    "Quantity", "UOM", "NextScheduledReadDate", "UpdateDateTime", "MSATSLoadDateTime",
)  # fmt: skip

REGISTER_KEY = ("nmi", "serial", "register", "suffix")  # the first fields of a reading


@dataclass(frozen=True, slots=True)
class Header:
    """The 100 record. ``created_at`` is in seconds since 1970 UTC; None where it cannot be known."""

    version: str
    created_at: int | None
    sender: str
    recipient: str


class ServiceOrder(NamedTuple):
    """A 550 record: why the meter was read, and the order that asked for it."""

    previous_code: str
    previous_order: str
    current_code: str
    current_order: str


class Reading(NamedTuple):
    """A 250 record. Instants are seconds since 1970 UTC; missing is None or empty, never 0.

    The first four are the register's key. From ``read_at`` on they are in the order of the table's columns.
    """

    nmi: str
    serial: str
    register: str
    suffix: str
    read_at: int
    value_text: str
    value: int
    quality: str
    method: str
    reason_code: str
    reason_text: str
    quantity_text: str
    quantity: int | None
    unit: str
    direction: str
    previous_value_text: str
    previous_value: int | None
    previous_read_at: int | None
    previous_quality: str
    previous_reason_code: str
    previous_reason_text: str
    next_read_on: str | None
    updated_at: int | None
    loaded_at: int | None
    configuration: str
    data_stream: str
    nmi_as_sent: str
    serial_as_sent: str
    line: int


@dataclass(slots=True)
class Batch:
    """Some readings in the order of the file; ``orders`` has the 550 records by the line of their 250."""

    readings: list[Reading] = field(default_factory=list)
    orders: dict[int, list[ServiceOrder]] = field(default_factory=dict)
