"""What is true of files that come in: their names, when one is complete, what became of one."""

from __future__ import annotations

import datetime
import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from wattbook import text
from wattbook.errors import InvalidInput, Unavailable

from ingest_service.domain.reconciliation import Verdict

_EXCHANGE_FILE = re.compile(r"epex_trades_.*\.csv", re.DOTALL)
_FLOW_FILE = re.compile(
    r"nem13#.*\.(csv|zip|mdff|txt|v(0[1-9]|[1-9]\d))", re.DOTALL | re.IGNORECASE | re.ASCII
)
_FILE_DATE = re.compile(r"epex_trades_(\d{4})(\d{2})(\d{2})(?!\d)")
_TEMPORARY = re.compile(r"\..*|.*(\.part|\.tmp|\.filepart|\.crdownload|\.swp|~)", re.DOTALL | re.IGNORECASE)
_UNSAFE = re.compile(r"[^\w.+=@# -]")
_LONGEST_SUFFIX = 10
_LONGEST_KEPT_STEM = 200  # characters; leaves room for a number and for names of at most 255 bytes

METERS = "meters"  # whatever lies in there is a flow file
OWN_FOLDERS = frozenset({"archive", "rejected", METERS})


def is_exchange_file(name: str) -> bool:
    """Whether this is a name that the exchange gives its nightly file; upper and lower case matter."""
    return _EXCHANGE_FILE.fullmatch(name) is not None


def is_flow_file(name: str) -> bool:
    """Whether this is a file of meter readings, by its name or because it lies in ``meters/``."""
    folder, _, base = name.rpartition("/")
    return not is_temporary(base) if folder == METERS else _FLOW_FILE.fullmatch(base) is not None


def is_wanted(name: str) -> bool:
    """Whether a file of this name is taken in."""
    return is_exchange_file(name) or is_flow_file(name)


def is_temporary(name: str) -> bool:
    """Whether writers use such a name until a file is whole: they rename it then."""
    return _TEMPORARY.fullmatch(name) is not None


def kept_names(name: str) -> Iterator[str]:
    """Names to keep a file under, best first: its own, then numbered ones, without end.

    What a terminal or a database cannot show is replaced by ``_``.
    """
    base = _UNSAFE.sub("_", name.rpartition("/")[2])
    stem, dot, suffix = base.rpartition(".") if "." in base else (base, "", "")
    stem = stem.encode()[:_LONGEST_KEPT_STEM].decode(errors="ignore")
    ending = dot + suffix[:_LONGEST_SUFFIX]
    yield f"{stem}{ending}"
    number = 2
    while True:
        yield f"{stem}-{number}{ending}"
        number += 1


def shown(name: str) -> str:
    """``name`` in characters that every log, terminal and database takes."""
    return text.shown(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def named_day(name: str) -> datetime.date | None:
    """The day in a file's name; None where there is none."""
    found = _FILE_DATE.match(name)
    try:
        return datetime.date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def date_warning(name: str, days: Iterable[datetime.date]) -> str | None:
    """What to say where rows are for other delivery days than the file's name lets one expect.

    The file of a night holds the previous day's trades, which may be for the day after: more than
    a day off either way is odd. It is never a reason to refuse (source: the exchange's own published
    example, named 20230220, holds trades of 2023-02-28).
    """
    if _FILE_DATE.match(name) is None:
        return "its name has no date"
    named = named_day(name)
    if named is None:
        return "the date in its name is none"
    odd = sorted(day for day in days if abs((day - named).days) > 1)
    if not odd:
        return None
    return f"its name says {named}, its rows have delivery days {odd[0]} to {odd[-1]}"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which file lies under a name and in which state; equal ones mean that nobody touched it."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int

    def same_content(self, other: Fingerprint) -> bool:
        """Whether nobody wrote to it; a move or a new owner does not count."""
        return replace(self, changed_ns=0) == replace(other, changed_ns=0)


class Kind(enum.Enum):
    """What lies in the inbox under a name."""

    FILE = "a file"
    FOLDER = "a folder"
    LINK = "a symbolic link"
    OTHER = "neither a file nor a folder"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in the inbox."""

    name: str
    kind: Kind
    fingerprint: Fingerprint

    @property
    def is_wanted(self) -> bool:
        """Whether it is taken in."""
        return self.kind is Kind.FILE and is_wanted(self.name)

    @property
    def is_worth_a_word(self) -> bool:
        """Whether someone may wonder why this is left alone."""
        if self.is_wanted or is_temporary(self.name.rpartition("/")[2]):
            return False
        return not (self.kind is Kind.FOLDER and self.name in OWN_FOLDERS)

    @property
    def left_alone_because(self) -> str:
        """Why nothing is done with it."""
        if is_wanted(self.name):
            return f"it is {self.kind.value}, not a file"
        return "its name is neither epex_trades_*.csv nor NEM13#*.csv"


class Writer(enum.Enum):
    """Whether somebody may still write to a file, as far as the system can tell."""

    NONE = enum.auto()
    OPEN = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class Stillness:
    """For how long a file must stand still: as a rule, and where nobody can tell who writes to it."""

    settle_s: float
    settle_unknown_s: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A wanted file while we wait for it to be whole, or to be tried again; times are monotonic seconds."""

    fingerprint: Fingerprint
    seen_since_s: float
    still_since_s: float
    renamed_in: bool = False
    writer_unknown: bool = False
    failures: int = 0
    not_before_s: float = 0.0
    waits_for: str = "its turn"

    def seen(self, fingerprint: Fingerprint, *, now_s: float) -> Candidate:
        """The same after another look at it; any change starts the wait anew."""
        if fingerprint == self.fingerprint:
            return self
        return replace(self, fingerprint=fingerprint, still_since_s=now_s, renamed_in=False, not_before_s=0.0)

    def due_s(self, stillness: Stillness) -> float:
        """When it may be taken in, if it stays as it is."""
        return max(self.still_since_s + self._settle_s(stillness), self.not_before_s)

    def is_still_enough(self, stillness: Stillness, *, now_s: float) -> bool:
        """Whether its standing still says by itself that it is whole; a rename says most of it."""
        wanted_s = stillness.settle_s if self.renamed_in else stillness.settle_unknown_s
        return now_s - self.still_since_s >= wanted_s

    def _settle_s(self, stillness: Stillness) -> float:
        if self.writer_unknown:
            return stillness.settle_s if self.renamed_in else stillness.settle_unknown_s
        return 0.0 if self.renamed_in else stillness.settle_s


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """A file that has been in the inbox for a while, since when, and what it waits for."""

    name: str
    since_us: int
    waits_for: str


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """What was moved into the archive: its name there, the one it came under, and how large it was."""

    kept_name: str
    name: str
    size_bytes: int


class FileState(enum.StrEnum):
    """How far a content got."""

    FOUND = "found"
    UPLOADED = "uploaded"  # every row answered, refused ones written down
    DONE = "done"  # and the original is in the archive


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of a file."""

    added: int = 0
    duplicate: int = 0
    conflict: int = 0
    invalid: int = 0

    @property
    def refused(self) -> int:
        """Rows that were not booked and are not there already."""
        return self.conflict + self.invalid

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            added=self.added + other.added,
            duplicate=self.duplicate + other.duplicate,
            conflict=self.conflict + other.conflict,
            invalid=self.invalid + other.invalid,
        )


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the ledger knows about a content, whatever names it came under."""

    sha256: str
    first_name: str
    size_bytes: int
    state: FileState
    kept_name: str | None = None
    refusal: str | None = None  # why the whole file was refused
    counts: Counts = Counts()


@dataclass(frozen=True, slots=True)
class Digest:
    """A content's hash and the delivery days seen in it."""

    sha256: str
    delivery_days: frozenset[datetime.date]


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row that the gateway did not book, or that corrected the book; ``row`` counts data rows from 1.

    ``booked`` is what a conflict is with, as :func:`kept_content` writes it; ``""`` where that is not told.
    """

    row: int
    reason: str
    verdict: Verdict = Verdict.INVALID
    booked: str = ""


class NotYet(Exception):
    """The file is being written, was changed or replaced, or went away: look again later."""


class WriterUnknown(NotYet):
    """Nobody can tell whether the file is being written: only its standing still for long can."""


class FolderTrouble(Unavailable):
    """The inbox, the archive or the folder of rejected rows cannot be used; the message says which."""


class GatewayDown(Unavailable):
    """No file can be uploaded now."""


class UploadFailed(Unavailable):
    """The upload did not come to its end; whatever was booked of it counts as a duplicate next time."""


class FileRefused(InvalidInput):
    """The gateway will never take this file, and the message says why."""
