"""Scans of the inbox: wait until a file is whole, import files by name, try failed ones again later."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial

from wattbook.clock import to_epoch_us
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
    Stillness,
    UploadFailed,
    WaitingFile,
    WriterUnknown,
    is_wanted,
    shown,
)
from ingest_service.usecases.importing import Importer

_log = logging.getLogger(__name__)

BACKOFF = Backoff(first_s=0.5, most_s=30.0)
SHORTEST_WAIT_S = 0.1
SAID_AFTER_S = 60.0  # of waiting in the inbox
RECHECK_EVERY_S = 60.0
_US_PER_S = 1_000_000


class Scanner:
    """Remembers between scans what was seen and what has to wait. Not for several tasks at once."""

    def __init__(
        self, importer: Importer, *, stillness: Stillness, recheck_s: float, rng: random.Random | None = None
    ) -> None:
        """Archived files are looked at again for ``recheck_s`` seconds; ``rng`` spreads the waits."""
        self._importer = importer
        self._clock = importer.clock
        self._stillness = stillness
        self._recheck_s = recheck_s
        self._recheck_at_s = 0.0
        self._candidates: dict[str, Candidate] = {}
        self._renamed_in: set[str] = set()
        self._mentioned: dict[str, Kind] = {}
        self._said_to_wait: set[str] = set()
        self._waiting = Retrying(BACKOFF, rng=rng)  # after what concerns every file
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, hides nothing
        self._paused_until_s = 0.0
        self._recovered = False
        self._report = Report()

    def heard_of_rename(self, name: str) -> None:
        """A file was renamed to ``name``: writers do this when it is whole, so it need not stand still."""
        if is_wanted(name):
            self._renamed_in.add(name)

    async def scan(self) -> bool:
        """Look once and import what is due; whether the drop folder can be used."""
        importer = self._importer
        try:
            await importer.in_thread(importer.folder.prepare)
            if not self._recovered:
                await importer.finish_interrupted()
                self._recovered = True
            await self._recheck()
            entries = await importer.in_thread(importer.folder.entries)
        except (Unavailable, OSError) as error:
            self._pause(error)
            return not isinstance(error, FolderTrouble)
        self._say_once([entry for entry in entries if entry.is_worth_a_word])
        self._observe([entry for entry in entries if entry.is_wanted])
        # Files that failed come after those that did not, so that a bad one does not block the others.
        for name in sorted(self._candidates, key=lambda name: (self._candidates[name].failures, name)):
            if self._due_s(name) <= self._clock.monotonic_s():
                await self._try(name)
        self._say_what_waits()
        return True

    def next_due_in_s(self) -> float | None:
        """In how many seconds a file is due, if it stays as it is; None where none waits."""
        if not self._candidates:
            return None
        return min(map(self._due_s, self._candidates)) - self._clock.monotonic_s()

    def waiting(self) -> list[WaitingFile]:
        """The files that wait for more than a minute, by name; any thread may ask."""
        now_s, now_us = self._clock.monotonic_s(), to_epoch_us(self._clock.now())
        return [
            WaitingFile(shown(name), now_us - int((now_s - each.seen_since_s) * _US_PER_S), each.waits_for)
            for name, each in sorted(self._candidates.copy().items())
            if now_s - each.seen_since_s > SAID_AFTER_S
        ]

    async def _recheck(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._recheck_at_s:
            return
        since_us = to_epoch_us(self._clock.now()) - int(self._recheck_s * _US_PER_S)
        await self._importer.in_thread(partial(self._importer.take_back_grown, since_us=since_us))
        self._recheck_at_s = now_s + min(RECHECK_EVERY_S, self._recheck_s)

    def _due_s(self, name: str) -> float:
        return max(self._candidates[name].due_s(self._stillness), self._paused_until_s)

    def _observe(self, entries: Iterable[Entry]) -> None:
        now_s = self._clock.monotonic_s()
        seen: dict[str, Candidate] = {}
        for entry in entries:
            known = self._candidates.get(entry.name)
            if known is None:
                known = Candidate(entry.fingerprint, seen_since_s=now_s, still_since_s=now_s)
            known = known.seen(entry.fingerprint, now_s=now_s)
            if entry.name in self._renamed_in:
                known = replace(known, still_since_s=now_s, renamed_in=True, failures=0, not_before_s=0.0)
            seen[entry.name] = known
        self._renamed_in.clear()
        self._candidates = seen

    async def _try(self, name: str) -> None:
        candidate = self._candidates.pop(name)
        started_s = self._clock.monotonic_s()
        still_enough = candidate.is_still_enough(self._stillness, now_s=started_s)
        try:
            record = await self._importer.import_file(name, trust_stillness=still_enough)
        except WriterUnknown as reason:
            waits_for = f"{reason}: it must not change for {self._stillness.settle_unknown_s:g} s"
            self._candidates[name] = replace(candidate, writer_unknown=True, waits_for=waits_for)
        except NotYet as reason:
            _log.debug("%s: not yet, %s", shown(name), reason)
            self._candidates[name] = replace(
                candidate, still_since_s=started_s, renamed_in=False, waits_for=str(reason)
            )
        except (GatewayDown, UploadFailed) as error:
            about_the_file = isinstance(error, UploadFailed)
            waiting = self._later(name, candidate, error) if about_the_file else candidate
            self._candidates[name] = replace(waiting, waits_for=str(error))
            self._pause(error, name)
        except (FolderTrouble, OSError) as error:
            self._candidates[name] = self._later(name, candidate, error)
        except Unavailable as error:  # the ledger
            self._candidates[name] = replace(candidate, waits_for=str(error))
            self._pause(error, name)
        except Exception as error:
            _log.exception("a fault of ours with %s", shown(name))
            self._candidates[name] = self._later(name, candidate, error)
        else:
            self._waiting.worked()
            self._report.imported(name, record, seconds=self._clock.monotonic_s() - started_s)

    def _later(self, name: str, candidate: Candidate, error: Exception) -> Candidate:
        failures = candidate.failures + 1
        wait_s = max(BACKOFF.delay_s(failures, self._rng), SHORTEST_WAIT_S)
        _log.warning(
            "%s stays in the inbox and is tried again: %s",
            shown(name),
            error,
            extra={"failures": failures, "wait_s": round(wait_s, 1)},
        )
        not_before_s = self._clock.monotonic_s() + wait_s
        return replace(candidate, failures=failures, not_before_s=not_before_s, waits_for=str(error))

    def _pause(self, error: Exception, name: str = "") -> None:
        retry_after_s = getattr(error, "retry_after_s", None) or 0
        wait_s = max(self._waiting.failed(), float(retry_after_s), SHORTEST_WAIT_S)
        _log.warning(
            "nothing can be taken in now: %s",
            error,
            extra={"file": shown(name), "failures": self._waiting.failures, "wait_s": round(wait_s, 1)},
        )
        self._paused_until_s = self._clock.monotonic_s() + wait_s

    def _say_once(self, entries: Iterable[Entry]) -> None:
        there = {entry.name: entry for entry in entries}
        self._mentioned = {name: kind for name, kind in self._mentioned.items() if name in there}
        for name, entry in there.items():
            if self._mentioned.get(name) is not entry.kind:
                self._mentioned[name] = entry.kind
                _log.warning("%s is left alone: %s", shown(name), entry.left_alone_because)

    def _say_what_waits(self) -> None:
        waiting = self.waiting()
        for each in waiting:
            if each.name not in self._said_to_wait:
                _log.warning("%s waits in the inbox for over a minute: %s", each.name, each.waits_for)
        self._said_to_wait = {each.name for each in waiting}


class Report:
    """Says what became of each file, and the sums since the start."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._files = 0
        self._rows = Counts()

    def imported(self, name: str, record: FileRecord, *, seconds: float) -> None:
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
