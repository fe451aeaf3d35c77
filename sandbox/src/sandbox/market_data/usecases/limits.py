"""Request limits over sliding windows, and the bookkeeping of every request."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

MINUTE_S, HOUR_S = 60.0, 3600.0
_KEEP_REQUESTS = 50_000  # two days of them at the limit
_KEEP_BUCKETS = 3 * 24 * 60


class Window:
    """At most ``limit`` requests in any span of ``span_s`` seconds; the span is open at its old end."""

    def __init__(self, *, limit: int, span_s: float) -> None:
        """Start empty."""
        self.limit = limit
        self._span_s = span_s
        self._granted: deque[float] = deque()
        self._asked: deque[float] = deque()
        self.most_asked = 0
        self.violations = 0

    def ask(self, at_s: float) -> bool:
        """Count a request; whether it is within the limit."""
        _leave_behind(self._granted, at_s - self._span_s)
        _leave_behind(self._asked, at_s - self._span_s)
        self._asked.append(at_s)
        self.most_asked = max(self.most_asked, len(self._asked))
        return len(self._granted) < self.limit

    def grant(self, at_s: float) -> None:
        """A request was answered and uses up one of the limit; a refused one does not."""
        self._granted.append(at_s)

    def used(self, at_s: float) -> int:
        """How much of the limit is in use."""
        _leave_behind(self._granted, at_s - self._span_s)
        return len(self._granted)

    def as_dict(self, at_s: float) -> dict[str, int]:
        """For the control endpoint."""
        return {
            "limit": self.limit, "used": self.used(at_s),
            "most_asked_in_any": self.most_asked, "violations": self.violations,
        }  # fmt: skip


class Limits:
    """Both windows together."""

    def __init__(self, *, per_minute: int, per_hour: int) -> None:
        """Enforce both."""
        self.minute = Window(limit=per_minute, span_s=MINUTE_S)
        self.hour = Window(limit=per_hour, span_s=HOUR_S)
        self.violations = 0

    def admit(self, at_s: float) -> bool:
        """Whether a request at ``at_s`` is within the limits; if not, it is counted as a violation."""
        within = [window.ask(at_s) for window in (self.minute, self.hour)]
        if all(within):
            self.minute.grant(at_s)
            self.hour.grant(at_s)
            return True
        self.minute.violations += not within[0]
        self.hour.violations += not within[1]
        self.violations += 1
        return False


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and what it got."""

    seq: int
    at: datetime
    path: str
    day: str
    hour: str
    status: int
    note: str


class RequestLog:
    """Every request, counted by status, by simulated minute and hour, and the last ones in full."""

    def __init__(self) -> None:
        """Start empty."""
        self._last: deque[Asked] = deque(maxlen=_KEEP_REQUESTS)
        self._by_status: Counter[int] = Counter()
        self._by_note: Counter[str] = Counter()
        self._minutes: dict[datetime, int] = {}
        self._hours: dict[datetime, int] = {}
        self.total = 0

    def add(self, asked: Asked) -> None:
        """Write one down."""
        self.total += 1
        self._last.append(asked)
        self._by_status[asked.status] += 1
        if asked.note:
            self._by_note[asked.note] += 1
        minute = asked.at.replace(second=0, microsecond=0)
        _count(self._minutes, minute)
        _count(self._hours, minute - timedelta(minutes=minute.minute))

    def after(self, seq: int, *, limit: int) -> list[Asked]:
        """Requests after a number, in order."""
        first = self._last[0].seq if self._last else 1
        start = max(seq + 1 - first, 0)
        return [self._last[index] for index in range(start, min(start + limit, len(self._last)))]

    def as_dict(self) -> dict[str, Any]:
        """For the control endpoint; the last two hours by minute, the last three days by hour."""
        return {
            "total": self.total,
            "by_status": {str(status): count for status, count in sorted(self._by_status.items())},
            "by_note": dict(sorted(self._by_note.items())),
            "by_minute": {start.isoformat(): n for start, n in list(self._minutes.items())[-120:]},
            "by_hour": {start.isoformat(): n for start, n in list(self._hours.items())[-72:]},
        }


def _leave_behind(times: deque[float], until_s: float) -> None:
    while times and times[0] <= until_s:
        times.popleft()


def _count(buckets: dict[datetime, int], start: datetime) -> None:
    buckets[start] = buckets.get(start, 0) + 1
    if len(buckets) > _KEEP_BUCKETS:
        del buckets[next(iter(buckets))]
