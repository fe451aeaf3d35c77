"""Flow files as such: names, archives, what became of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from zipfile import ZipInfo

from wattbook.errors import WattbookError

from meter_service.domain.problems import Findings
from meter_service.domain.records import Header

MOST_MEMBERS = 1_000
MOST_EXPANDED_BYTES = 2 * 1024**3
MOST_RATIO = 200
_LONGEST_NAME = 255
_FLOW_FILE = re.compile(r"(NEM1[23]#.*|[^.]+|.*\.(csv|mdff|txt|v[0-9]{2}))", re.IGNORECASE | re.DOTALL)
_ENCRYPTED = 0x1


class Refused(WattbookError):
    """An archive that is not looked into any further; the message says why."""

    code = "invalid_input"
    http_status = 422
    grpc_status = "INVALID_ARGUMENT"


class Result(StrEnum):
    """What became of a file that was given to be imported."""

    IMPORTED = "imported"
    REJECTED = "rejected"
    KNOWN = "already known"
    LEFT_ALONE = "left alone"
    RECEIVED = "received"  # kept; it is imported later
    VALID = "valid"  # looked at only


@dataclass(slots=True)
class Counts:
    """Records in = stored + duplicates + superseded on arrival."""

    records: int = 0
    stored: int = 0
    duplicates: int = 0
    superseded: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of one file; ``file_id`` is None where nothing is kept of it."""

    name: str
    result: Result
    member: str = ""
    file_id: int | None = None
    sha256: str = ""
    header: Header | None = None
    counts: Counts = field(default_factory=Counts)
    findings: Findings = field(default_factory=Findings)
    reason: str = ""

    @property
    def title(self) -> str:
        """``archive/member``, or the name."""
        return f"{self.name}/{self.member}" if self.member else self.name


def base_name(name: str) -> str:
    """What is kept of a name as sent: no folders, no NULs, at most 255 characters."""
    last = re.split(r"[/\\]", name.replace("\0", "\ufffd").rstrip("/\\"))[-1]
    return last[:_LONGEST_NAME] or "unnamed"


def is_flow_file_name(name: str) -> bool:
    """Whether it may be one's: ``.csv``, ``.mdff``, ``.txt``, ``.V01`` to ``.V99``, or no extension."""
    return _FLOW_FILE.fullmatch(base_name(name)) is not None


def is_archive(start: bytes) -> bool:
    """Whether a file's first bytes are those of a zip."""
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def chosen_members(members: Sequence[ZipInfo]) -> tuple[list[ZipInfo], list[str]]:
    """The flow files of an archive, and the names of what is left alone.

    Raises:
        Refused: a limit is passed, or there is something that no honest archive of flow files holds.
    """
    if len(members) > MOST_MEMBERS:
        raise Refused(f"the archive has {len(members):,} members; at most {MOST_MEMBERS:,} are taken")
    if sum(member.file_size for member in members) > MOST_EXPANDED_BYTES:
        raise Refused("the archive would expand to more than 2 GiB")
    names = [member.filename for member in members]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Refused(f"two members of the archive are named {twice!r}")
    for member in members:
        _check(member)
    chosen = [member for member in members if _is_flow_file(member)]
    if not chosen:
        raise Refused("there is no flow file in the archive")
    return chosen, [member.filename for member in members if member not in chosen]


def _check(member: ZipInfo) -> None:
    parts = re.split(r"[/\\]", member.filename)
    if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in parts[0]:
        raise Refused(f"a member of the archive points outside of it: {member.filename!r}")
    if member.flag_bits & _ENCRYPTED:
        raise Refused("the archive is protected by a password; flow files are sent without one")
    if member.file_size > MOST_RATIO * max(member.compress_size, 1):
        raise Refused(f"{member.filename!r} would expand to more than {MOST_RATIO} times its size")
    if member.filename.lower().endswith(".zip"):
        raise Refused(f"there is an archive within the archive: {member.filename!r}")


def _is_flow_file(member: ZipInfo) -> bool:
    is_apple = member.filename.startswith("__MACOSX/") or base_name(member.filename).startswith(".")
    return not member.is_dir() and not is_apple and is_flow_file_name(member.filename)
