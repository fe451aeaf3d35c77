"""Rounds over the inbox: wait until a file is whole, take files in by name, try failed ones again later."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from dataclasses import asdict, replace

from wattbook.errors import Unavailable
from wattbook.retry import Backoff, Retrying

from ingest_service.domain import (
    Candidate,
    Counts,
    Entry,
    FileRecord,
    FolderTrouble,
    GatewayDown,
    Kind,
    NotYet,
    UploadFailed,
    is_exchange_file,
    shown,
)
from ingest_service.usecases.parts import Parts
from ingest_service.usecases.take_in import finish_interrupted, take_in

_log = logging.getLogger(__name__)

BACKOFF = Backoff(first_s=0.5, most_s=30.0)
SHORTEST_WAIT_S = 0.1


class Rounds:
    """Remembers between rounds what was seen and what has to wait. Not for several tasks at once."""

    def __init__(self, parts: Parts, *, settle_s: float, rng: random.Random | None = None) -> None:
        """A file must stand still for ``settle_s`` seconds; ``rng`` spreads the waits."""
        self._parts = parts
        self._settle_s = settle_s
        self._candidates: dict[str, Candidate] = {}
        self._renamed_in: set[str] = set()
        self._mentioned: dict[str, Kind] = {}
        self._waiting = Retrying(BACKOFF, rng=rng)  # after what concerns every file
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, hides nothing
        self._paused_until_s = 0.0
        self._recovered = False
        self._report = Report()

    def heard_of_rename(self, name: str) -> None:
        """A file was renamed to ``name``: writers do this when it is whole, so it need not stand still."""
        if is_exchange_file(name):
            self._renamed_in.add(name)

    async def round(self) -> bool:
        """Look once and take in what is due; whether the drop folder can be used."""
        try:
            await self._parts.in_thread(self._parts.folder.prepare)
            entries = await self._parts.in_thread(self._parts.folder.entries)
            if not self._recovered:
                await finish_interrupted(self._parts)
                self._recovered = True
        except (Unavailable, OSError) as error:
            self._pause(error)
            return not isinstance(error, FolderTrouble)
        self._say_once([entry for entry in entries if entry.is_worth_a_word])
        self._observe([entry for entry in entries if entry.is_wanted])
        # Files that failed come after those that did not, so that a bad one does not block the others.
        for name in sorted(self._candidates, key=lambda name: (self._candidates[name].failures, name)):
            if self._due_s(name) <= self._parts.clock.monotonic_s():
                await self._try(name)
        return True

    def next_due_in_s(self) -> float | None:
        """In how many seconds a file is due, if it stays as it is; None where none waits."""
        if not self._candidates:
            return None
        return min(map(self._due_s, self._candidates)) - self._parts.clock.monotonic_s()

    def _due_s(self, name: str) -> float:
        return max(self._candidates[name].due_s(self._settle_s), self._paused_until_s)

    def _observe(self, entries: Iterable[Entry]) -> None:
        now_s = self._parts.clock.monotonic_s()
        seen: dict[str, Candidate] = {}
        for entry in entries:
            known = self._candidates.get(entry.name)
            if known is None or entry.name in self._renamed_in:
                renamed_in = entry.name in self._renamed_in
                known = Candidate(entry.fingerprint, still_since_s=now_s, renamed_in=renamed_in)
            seen[entry.name] = known.seen(entry.fingerprint, now_s=now_s)
        self._renamed_in.clear()
        self._candidates = seen

    async def _try(self, name: str) -> None:
        candidate = self._candidates.pop(name)
        started_s = self._parts.clock.monotonic_s()
        try:
            record = await take_in(self._parts, name=name, settled=not candidate.renamed_in)
        except NotYet as reason:
            _log.debug("%s: not yet, %s", shown(name), reason)
            now_s = self._parts.clock.monotonic_s()
            self._candidates[name] = replace(candidate, still_since_s=now_s, renamed_in=False)
        except (GatewayDown, UploadFailed) as error:
            about_the_file = isinstance(error, UploadFailed)
            self._candidates[name] = self._later(name, candidate, error) if about_the_file else candidate
            self._pause(error, name)
        except (FolderTrouble, OSError) as error:
            self._candidates[name] = self._later(name, candidate, error)
        except Unavailable as error:  # the ledger
            self._candidates[name] = candidate
            self._pause(error, name)
        except Exception as error:
            _log.exception("a fault of ours with %s", shown(name))
            self._candidates[name] = self._later(name, candidate, error)
        else:
            self._waiting.worked()
            self._report.taken_in(name, record, seconds=self._parts.clock.monotonic_s() - started_s)

    def _later(self, name: str, candidate: Candidate, error: Exception) -> Candidate:
        failures = candidate.failures + 1
        wait_s = max(BACKOFF.delay_s(failures, self._rng), SHORTEST_WAIT_S)
        _log.warning(
            "%s stays in the inbox and is tried again: %s",
            shown(name),
            error,
            extra={"failures": failures, "wait_s": round(wait_s, 1)},
        )
        not_before_s = self._parts.clock.monotonic_s() + wait_s
        return replace(candidate, failures=failures, not_before_s=not_before_s)

    def _pause(self, error: Exception, name: str = "") -> None:
        retry_after_s = getattr(error, "retry_after_s", None) or 0
        wait_s = max(self._waiting.failed(), float(retry_after_s), SHORTEST_WAIT_S)
        _log.warning(
            "nothing can be taken in now: %s",
            error,
            extra={"file": shown(name), "failures": self._waiting.failures, "wait_s": round(wait_s, 1)},
        )
        self._paused_until_s = self._parts.clock.monotonic_s() + wait_s

    def _say_once(self, entries: Iterable[Entry]) -> None:
        there = {entry.name: entry for entry in entries}
        self._mentioned = {name: kind for name, kind in self._mentioned.items() if name in there}
        for name, entry in there.items():
            if self._mentioned.get(name) is not entry.kind:
                self._mentioned[name] = entry.kind
                _log.warning("%s is left alone: %s", shown(name), entry.left_alone_because)


class Report:
    """Says what became of each file, and the sums since the start."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._files = 0
        self._rows = Counts()

    def taken_in(self, name: str, record: FileRecord, *, seconds: float) -> None:
        """One more file is archived."""
        self._files += 1
        self._rows += record.counts
        ending = ""
        if record.refusal is not None:
            ending = f"; the whole file was refused: {record.refusal}"
        elif record.counts.refused:
            ending = f"; {record.counts.refused} refused rows are in rejected/{record.kept_name}"
        _log.log(
            logging.WARNING if ending else logging.INFO,
            "%s is in the archive%s",
            shown(name),
            ending,
            extra={
                "kept_as": record.kept_name,
                "sha256": record.sha256,
                "size_bytes": record.size_bytes,
                "seconds": round(seconds, 3),
                **asdict(record.counts),
                "files_total": self._files,
                **{f"{what}_total": rows for what, rows in asdict(self._rows).items()},
            },
        )
