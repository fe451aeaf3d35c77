"""The bank as it is now: data as they were made, and what was changed about them since."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from wattbook.errors import InvalidInput

from sandbox.bank.domain.companies import Company
from sandbox.bank.domain.faults import GARBAGE, Faults, changed_rows, without_late
from sandbox.bank.domain.rates import CODES, rate_rows
from sandbox.bank.domain.rows import DataSet, Rows
from sandbox.bank.domain.sizes import SOURCES, WINDOW_S, window_at

_LATE_ANSWERS = 3  # so many answers later the rest of a window is there
_CHANGED_BEFORE = 20
_MOST_COMPANIES = 1000


@dataclass
class Changes:
    """What is no longer as it was made; survives a crash on demand."""

    faults: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    new_companies: int = 0
    moved: dict[str, int] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # window and page, by client
    usd_shift: str = "1"
    without_rate: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class Fate:
    """What goes wrong with an answer."""

    fail_status: int = 0
    garbage: str = ""
    slow_real_s: float = 0.0
    broken: bool = False
    crash: bool = False
    repeat: bool = False
    reorder: bool = False

    @property
    def note(self) -> str:
        """In words, for the counts."""
        if self.fail_status:
            return "failed on demand"
        said = [name for name in ("crash", "broken", "repeat", "reorder") if getattr(self, name)]
        return ", ".join(
            [*said, *(["slow"] if self.slow_real_s else []), *([self.garbage] if self.garbage else [])]
        )


class Bank:
    """A data set, its faults and its counts. Called from several threads."""

    def __init__(self, data: DataSet, *, seed: int, carried: str = "") -> None:
        """Hand out ``data``; ``carried`` is what :meth:`carried` said before a crash.

        Raises:
            InvalidInput: a fault that cannot be.
        """
        self.data = data
        self.changes = Changes(**json.loads(carried)) if carried else Changes()
        self.faults = Faults().changed(self.changes.faults)
        self.counts: Counter[str] = Counter(self.changes.counts)
        self._rows: dict[str, dict[int, int]] = {source: {} for source in SOURCES}
        self._again: dict[str, list[int]] = {source: [] for source in SOURCES}
        # Repeatable, but not the same again after each crash.
        self._random = Random(f"{seed} {self.changes.crashes}")  # noqa: S311
        self._garbage = 0
        self.lock = threading.RLock()

    def carried(self) -> str:
        """All that the crash which comes now must not undo, as text."""
        with self.lock:
            crashes = self.changes.crashes + 1
            return json.dumps(asdict(replace(self.changes, counts=dict(self.counts), crashes=crashes)))

    def part_of(self, length: int) -> int:
        """How many bytes of an answer go out before it breaks off."""
        with self.lock:
            return self._random.randrange(length + 1)

    def fate(self) -> Fate:
        """What goes wrong with the next answer."""
        with self.lock:
            faults = self.faults
            self.counts["requests"] += 1
            if self._happens(faults.fail_rate):
                return Fate(fail_status=faults.fail_status)
            garbage = ""
            if self._happens(faults.garbage_rate):
                garbage = GARBAGE[self._garbage % len(GARBAGE)]
                self._garbage += 1
            return Fate(
                garbage=garbage,
                slow_real_s=faults.slow_real_s if self._happens(faults.slow_rate) else 0.0,
                broken=self._happens(faults.break_rate), crash=self._happens(faults.crash_rate),
                repeat=self._happens(faults.repeat_rate), reorder=self._happens(faults.reorder_rate),
            )  # fmt: skip

    def rows(self, source: str, window: int, *, now: datetime) -> Rows:
        """A window's rows up to ``now``, as they are after all changes."""
        rows = self.data.rows(source, window)
        if (window + 1) * WINDOW_S > now.timestamp():
            rows = rows.until(now.timestamp())
        name = f"{source}-{window}"
        with self.lock:
            version, late = self.changes.versions.get(name, 0), name in self.changes.late
        rows = changed_rows(rows, source, window, version=version)
        return without_late(rows, source, window) if late else rows

    def handed_out(self, source: str, window: int, *, rows: int, now: datetime) -> None:
        """Count an answer with a window; then others may turn out to be late, or change."""
        with self.lock:
            self.counts[f"{source} answers"] += 1
            self.counts[f"{source} rows"] += rows
            first_time = window not in self._rows[source]
            self._rows[source][window] = rows
            self._let_late_come(source)
            if window >= window_at(now):
                return
            if first_time and rows and self._happens(self.faults.late_rate):
                self.changes.late[f"{source}-{window}"] = _LATE_ANSWERS
                self.counts["windows late"] += 1
            if self._happens(self.faults.change_rate):
                recent = range(window - _CHANGED_BEFORE, window)
                before = [each for each in self._rows[source] if each in recent]
                if before:
                    self.change_window(source, self._random.choice(before))

    def change_window(self, source: str, window: int) -> int:
        """From now on a window has other rows; its version."""
        with self.lock:
            name = f"{source}-{window}"
            version = self.changes.versions[name] = self.changes.versions.get(name, 0) + 1
            self._again[source].append(window)
            self.counts["windows changed"] += 1
            return version

    def come_again(self, source: str, window: int) -> None:
        """A window comes once more, where the bank keeps the place."""
        with self.lock:
            self._again[source].append(window)

    def again(self, source: str) -> int | None:
        """A window that has to come again, where the bank keeps the place."""
        with self.lock:
            return self._again[source].pop(0) if self._again[source] else None

    def companies(self) -> list[Company]:
        """All companies, the new ones last, with the accounts that they have now."""
        made = list(self.data.companies())
        with self.lock:
            others = self.data.others() if self.changes.new_companies else []
            for number in range(self.changes.new_companies):
                ibans = tuple(others[(2 * number + each) % len(others)] for each in range(2))
                made.append(Company(
                    len(made), f"Newcomer {number + 1} B.V.", "N. Newcomer", "Nieuwstraat 1\n1011 AB Delft",
                    ibans, "0.00",
                ))  # fmt: skip
            moved = dict(self.changes.moved)
        if not moved:
            return made
        arriving: dict[int, list[str]] = {}
        for iban, company in moved.items():
            arriving.setdefault(company, []).append(iban)
        return [
            replace(each, ibans=(*(i for i in each.ibans if i not in moved), *arriving.get(each.id, ())))
            for each in made
        ]

    def add_companies(self, count: int) -> int:
        """Let accounts of nobody known become companies'; how many such companies there are."""
        with self.lock:
            if self.changes.new_companies + count > min(_MOST_COMPANIES, len(self.data.others()) // 2):
                raise InvalidInput(f"count: at most {_MOST_COMPANIES} new companies, of two accounts each")
            self.changes.new_companies += count
            return self.changes.new_companies

    def move_account(self) -> dict[str, Any]:
        """Give one of a company's accounts to another: which, from where and where to."""
        with self.lock:
            companies = self.companies()
            giver = self._random.choice([each for each in companies if len(each.ibans) > 1])
            taker = self._random.choice([each for each in companies if each.id != giver.id])
            iban = giver.ibans[0]
            self.changes.moved[iban] = taker.id
            return {"iban": iban, "from": giver.id, "to": taker.id}

    def change_rates(self, *, usd_shift: float, without: Sequence[str]) -> None:
        """From now on the dollar costs ``usd_shift`` of what it did, and some currencies have no rate.

        Raises:
            InvalidInput: a currency that the bank does not know, or a shift out of 0.1…10.
        """
        unknown = sorted(set(without) - set(CODES))
        if unknown:
            raise InvalidInput(f"without: {', '.join(unknown)} is none of {', '.join(CODES)}")
        if not 0.1 <= usd_shift <= 10:
            raise InvalidInput(f"usd_shift: {usd_shift} is not in 0.1…10")
        with self.lock:
            self.changes.usd_shift, self.changes.without_rate = str(usd_shift), list(without)

    def rates(self, reading: str) -> list[dict[str, str]]:
        """The rate table in force."""
        with self.lock:
            without, shift = set(self.changes.without_rate), Decimal(self.changes.usd_shift)
        return [row for row in rate_rows(reading, usd_shift=shift) if row["currency"] not in without]

    def set_faults(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some faults; all of them as they are then.

        Raises:
            InvalidInput: an unknown name or an impossible value.
        """
        with self.lock:
            self.faults = self.faults.changed(changes)
            self.changes.faults = self.faults.as_dict()
            return self.changes.faults

    def count(self, status: int, note: str) -> None:
        """An answer is on its way."""
        with self.lock:
            self.counts[f"status {status}"] += 1
            if note:
                self.counts[f"note {note}"] += 1

    def stats(self) -> dict[str, Any]:
        """Everything counted."""
        with self.lock:
            return {"counts": dict(sorted(self.counts.items())),
                    "windows": {source: len(found) for source, found in self._rows.items()}}  # fmt: skip

    def windows(self, source: str) -> list[dict[str, Any]]:
        """The windows handed out: rows at the last time, changes so far, whether some rows are late."""
        with self.lock:
            versions, late = self.changes.versions, self.changes.late
            return [
                {"window": window, "rows": rows, "version": versions.get(f"{source}-{window}", 0),
                 "late": f"{source}-{window}" in late}
                for window, rows in sorted(self._rows[source].items())
            ]  # fmt: skip

    def _let_late_come(self, source: str) -> None:
        for name in [each for each in self.changes.late if each.startswith(source)]:
            self.changes.late[name] -= 1
            if self.changes.late[name] <= 0:
                del self.changes.late[name]
                self._again[source].append(int(name.partition("-")[2]))

    def _happens(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate
