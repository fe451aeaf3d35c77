"""The short way: the same request again, answered before Flask, while all that its answer follows from holds.

A page that traders keep refreshing costs a dictionary lookup and three comparisons. What is kept is keyed by
all that the answer depends on in a request, the session cookie included, and is asked each time whether it
still holds; so it is never older than the full answer would be.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from wattbook.clock import Clock, to_epoch_us

MOST_KEPT = 512
_HOLDS = "wattbook.holds"
_US_PER_S = 1_000_000

Environ = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Holds:
    """How long an answer may be given again: while ``check`` says so, and not from ``until_s`` (UTC) on."""

    check: Callable[[], bool]
    until_s: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in one piece; names of fields in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def with_id(self, request_id: str) -> Answer:
        """The same for another request."""
        return Answer(self.status, [*self.headers, (b"x-request-id", request_id.encode())], self.body)


def may_repeat(environ: Environ, holds: Holds) -> None:
    """Let the answer to this request be given again while it ``holds``."""
    environ[_HOLDS] = holds


def holds_of(environ: Environ) -> Holds | None:
    """How long, where it was said."""
    found: Holds | None = environ.get(_HOLDS)
    return found


class Recent:
    """What was answered; use it on one event loop."""

    def __init__(self, clock: Clock, *, most: int = MOST_KEPT) -> None:
        """Keep at most ``most`` answers."""
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Answer, Holds]] = OrderedDict()

    def get(self, key: Hashable) -> Answer | None:
        """The answer to a request with this key, while it holds; without a request id."""
        found = self._kept.get(key)
        if found is None:
            return None
        answer, holds = found
        now_s = to_epoch_us(self._clock.now()) // _US_PER_S
        return answer if now_s < holds.until_s and holds.check() else None

    def keep(self, key: Hashable, answer: Answer, holds: Holds) -> None:
        """Give it again, where it is no more than a page."""
        if answer.status not in (200, 304) or any(name == b"set-cookie" for name, _ in answer.headers):
            return
        headers = [each for each in answer.headers if each[0] != b"x-request-id"]
        self._kept[key] = Answer(answer.status, headers, answer.body), holds
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
