"""Files as they should not be, or may be all the same: an edge case each, and what becomes of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

IMPORTED, REJECTED = "imported", "rejected"
_HEADER = "100,NEM13,202601020300,MDPX,RETAILER"
_FIELDS = (
    "250", "4102000001", "11", "11", "11", "", "00001", "E", "00100.0", "20251202101112", "A", "", "",
    "00345.5", "20260101101112", "A", "", "", "245.5", "kWh", "20260131", "20260102020000", "20260102021500",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A file of one edge case. ``warning``: the kind of warning that its import notes, if any."""

    content: bytes
    becomes: str = IMPORTED
    warning: str = ""
    extension: str = "csv"


def reading(**fields: str) -> str:
    """A 250 record in order but for some fields, named ``f14`` and so on as the format counts them."""
    return ",".join(fields.get(f"f{at}", given) for at, given in enumerate(_FIELDS, start=1))


def flow_file(*records: str, header: str = _HEADER, end: str = "900", newline: str = "\r\n") -> str:
    """Records between a 100 and a 900."""
    return "".join(record + newline for record in (header, *records, end) if record)


_GOOD = reading()
_OTHER = reading(f10="20260101101112", f15="20260131101112", f9="00345.5", f14="00600.0", f19="254.5")
_REASON = {"f16": "S62", "f17": "0"}


def _with(becomes: str = IMPORTED, warning: str = "", **fields: str) -> Case:
    return Case(flow_file(_GOOD, reading(**{"f4": "12", **fields})).encode(), becomes, warning)


def _file(
    *records: str, becomes: str = IMPORTED, warning: str = "", header: str = _HEADER, end: str = "900"
) -> Case:
    return Case(flow_file(*records, header=header, end=end).encode(), becomes, warning)


def _zip(members: dict[str, bytes], becomes: str = IMPORTED) -> Case:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # without a date of today
    return Case(held.getvalue(), becomes, extension="zip")


_TEXT = flow_file(_GOOD, "550,N,,N,", _OTHER)
CASES: dict[str, Callable[[], Case]] = {
    # the physical file
    "bom": lambda: Case(b"\xef\xbb\xbf" + _TEXT.encode()),
    "utf-16": lambda: Case(_TEXT.encode("utf-16")),
    "windows-1252": lambda: Case(
        flow_file(reading(**_REASON, f18="caf\u00e9")).encode("cp1252"), warning="cp1252"
    ),
    "lf": lambda: Case(_TEXT.replace("\r", "").encode()),
    "mixed-ends": lambda: Case(_TEXT.replace("\r\n", "\n", 2).encode()),
    "no-final-newline": lambda: Case(_TEXT.rstrip().encode()),
    "padded": lambda: _file(_GOOD, header=_HEADER + "," * 18, end="900" + "," * 22),
    "blank-lines": lambda: Case(f",,,\r\n\r\n{_TEXT}".encode()),
    "lower-case": lambda: Case(_TEXT.lower().encode()),
    "empty": lambda: Case(b"", REJECTED),
    "no-flow-file": lambda: Case(b"%PDF-1.7\n\x00", REJECTED),
    "nul": lambda: Case(flow_file(_GOOD, reading(f18="\0")).encode(), REJECTED),
    "unclosed-quote": lambda: Case(flow_file(_GOOD, reading(f18='"never closed')).encode(), REJECTED),
    "record-over-two-lines": lambda: Case(flow_file(reading(f18='"one\r\ntwo"')).encode(), REJECTED),
    "line-too-long": lambda: Case(flow_file(_GOOD, "250," + "9" * 70_000).encode(), REJECTED),
    "5000-columns": lambda: Case(flow_file(_GOOD, "250" + ",x" * 4_999).encode(), REJECTED),
    # records
    "no-readings": lambda: _file(warning="no_readings"),
    "no-100": lambda: _file(_GOOD, header="", becomes=REJECTED),
    "no-900": lambda: _file(_GOOD, end="", becomes=REJECTED),
    "second-100": lambda: _file(_GOOD, _HEADER, _OTHER, becomes=REJECTED),
    "after-900": lambda: _file(_GOOD, "900", _OTHER, becomes=REJECTED),
    "nem12": lambda: _file("200,X", header=_HEADER.replace("NEM13", "NEM12"), becomes=REJECTED),
    "nem12-records": lambda: _file(_GOOD, "200,X", becomes=REJECTED),
    "unknown-record": lambda: _file(_GOOD, "777,X", becomes=REJECTED),
    "orphan-550": lambda: _file("550,N,,N,", becomes=REJECTED),
    "several-550": lambda: _file(_GOOD, "550,N,WO1,N,WO2", "550,N,WO3,N,WO4"),
    "short-250": lambda: _file(",".join(_FIELDS[:20])),
    "shorter-250": lambda: _file(",".join(_FIELDS[:19]), becomes=REJECTED),
    "surplus-cell": lambda: _file(_GOOD + ",,x", warning="surplus"),
    "spreadsheet-date": lambda: _file(
        _GOOD, header="100,NEM13,2.02601E+11,MDPX,RETAILER", warning="header_date"
    ),
    # fields
    "nmi-11": lambda: _with(REJECTED, f2="41020000015"),
    "nmi-spreadsheet": lambda: _with(REJECTED, f2="4.1E+09"),
    "space-in-number": lambda: _with(REJECTED, f14="8. 77"),
    "thousands-comma": lambda: _with(REJECTED, f14='"1,234"'),
    "exponent": lambda: _with(REJECTED, f14="1e3"),
    "nan": lambda: _with(REJECTED, f19="NaN"),
    "31-february": lambda: _with(REJECTED, f15="20260231101112"),
    "hour-24": lambda: _with(REJECTED, f15="20260101240000"),
    "15-digits": lambda: _with(REJECTED, f15="202601011011120"),
    "quality-v": lambda: _with(REJECTED, f16="V"),
    "quality-n": lambda: _with(REJECTED, f16="N"),
    "blank-value": lambda: _with(REJECTED, f14=""),
    "spaces": lambda: _with(warning="spaces", f20=" kWh"),
    "quoted-comma": lambda: _with(warning="quoted_comma", **_REASON, f18='"dog, large"'),
    "blank-quantity": lambda: _with(warning="blank_quantity", f19=""),
    "negative-quantity": lambda: _with(warning="negative_quantity", f19="-3"),
    "no-reason": lambda: _with(warning="no_reason", f16="S62"),
    "unknown-reason": lambda: _with(warning="unknown_reason", f17="999"),
    "unknown-method": lambda: _with(warning="unknown_method", f16="E98", f17="77"),
    "unknown-unit": lambda: _with(warning="unknown_unit", f20="kFoo"),
    "blank-serial": lambda: _with(warning="blank_serial", f7=""),
    "current-before-previous": lambda: _with(warning="current_before_previous", f10="20260202000000"),
    "short-update-time": lambda: _with(warning="short_update_time", f22="202601020200"),
    "suffix-not-configured": lambda: _with(warning="suffix_not_configured", f5="41"),
    "suffix-absent": lambda: _with(warning="suffix_absent", f3="1141"),
    "too-fine": lambda: _with(warning="rounded", f14="345.50005"),
    "rollover": lambda: _with(f9="99999.1", f14="00010.6", f19="11.5"),
    "future-estimate": lambda: _with(f15="20991231000000", f16="E64"),
    "duplicate-row": lambda: _file(_GOOD, _GOOD, warning="duplicate_in_file"),
    "corrected-row": lambda: _file(
        _GOOD, reading(f14="00346.5", f22="20260103020000"), warning="different_in_file"
    ),
    # archives
    "archive": lambda: _zip({"in/good.csv": _TEXT.encode(), "__MACOSX/._x": b"x", "readme.pdf": b"x"}),
    "archive-in-archive": lambda: _zip({"a.csv": _TEXT.encode(), "b.zip": b"PK"}, REJECTED),
    "archive-outside": lambda: _zip({"../a.csv": _TEXT.encode()}, REJECTED),
    "archive-bomb": lambda: _zip({"a.csv": b"0" * 5_000_000}, REJECTED),
    "archive-torn": lambda: Case(_zip({"a.csv": _TEXT.encode()}).content[:-20], REJECTED, extension="zip"),
}
