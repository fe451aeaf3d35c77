"""NEM13 files for tests, record by record; and a plain reader that shares no code with the product's."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal

HEADER = "100,NEM13,200401080900,MDA1,RET1"
END = "900"
FIELDS: dict[str, str] = {
    "indicator": "250", "nmi": "1234567890", "configuration": "11", "register": "01", "suffix": "11",
    "stream": "", "serial": "METER0001", "direction": "E",
    "previous": "00076.5", "previous_at": "20031001103230", "previous_quality": "A", "previous_reason": "",
    "previous_words": "", "value": "00086.5", "at": "20040107100333", "quality": "A", "reason": "",
    "words": "", "quantity": "10.0", "unit": "kWh", "next": "20040401", "updated": "20040108090000",
    "loaded": "",
}  # fmt: skip


def reading(**fields: str) -> str:
    """A 250 record in order, but for the fields named."""
    assert fields.keys() <= FIELDS.keys(), fields
    return ",".join({**FIELDS, **fields}.values())


def text_of(*records: str, header: str = HEADER, end: str = END) -> str:
    """A file with these records between its 100 and its 900."""
    return "".join(f"{record}\r\n" for record in (header, *records, end) if record)


def content(*records: str, **more: str) -> bytes:
    """The same in bytes."""
    return text_of(*records, **more).encode()


@dataclass(frozen=True)
class Plainly:
    """What a plain reader finds in a file that is in order."""

    readings: int
    nmis: int
    meters: int
    registers: int
    quantity: Decimal
    first: tuple[Decimal, datetime]
    last: tuple[Decimal, datetime]


def read_plainly(files: Iterable[bytes]) -> Plainly:
    """Counts, sums, the first and the last reading in the order of the files; UTF-8 only."""
    rows = [
        [field.strip() for field in row]
        for file in files
        for row in csv.reader(io.StringIO(file.decode("utf-8-sig"), newline=""))
        if row and row[0].strip() == "250"
    ]

    def shown(row: list[str]) -> tuple[Decimal, datetime]:
        at = datetime.strptime(row[14], "%Y%m%d%H%M%S").replace(tzinfo=timezone(timedelta(hours=10)))
        return Decimal(row[13]), at

    return Plainly(
        readings=len(rows),
        nmis=len({row[1].upper() for row in rows}),
        meters=len({(row[1].upper(), row[6].upper()) for row in rows}),
        registers=len({(row[1].upper(), row[6].upper(), row[3], row[4]) for row in rows}),
        quantity=sum((Decimal(row[18]) for row in rows if row[18]), Decimal()),
        first=shown(rows[0]),
        last=shown(rows[-1]),
    )


# The published sample's facts: 10 readings of 10 registers, 8 meters of 8 meter points, quantities of 4956.0
# in all, the first 56311.0 at 2004-01-07 10:03:33+10:00. The rest of it is made up.
_SAMPLE = (
    ("1", "56311.0", "20040107100333", "503.0", "01"),
    ("2", "00771.5", "20040107101512", "412.5", "01"),
    ("3", "01204.0", "20040107103000", "598.0", "01"),
    ("4", "33004.0", "20040107110101", "301.5", "01"),
    ("5", "08123.0", "20040107112233", "777.0", "01"),
    ("6", "00950.0", "20040107120000", "150.0", "01"),
    ("7", "10440.0", "20040107121500", "640.0", "01"),
    ("7", "00440.0", "20040107121500", "440.0", "02"),
    ("8", "20734.0", "20040107130259", "734.0", "01"),
    ("8", "00400.0", "20040107130259", "400.0", "02"),
)


def published_sample() -> bytes:
    """Rebuilt from its facts: padded with empty cells, as published."""
    made = [
        reading(
            nmi=f"NEM131000{place}", serial=f"S0000{place}", value=value, at=at, quantity=quantity,
            register=register, suffix="11" if register == "01" else "41",
            configuration="1141" if place in "78" else "11",
        )
        for place, value, at, quantity, register in _SAMPLE
    ]  # fmt: skip
    return content(*made, header=HEADER + "," * 18, end=END + "," * 22)
