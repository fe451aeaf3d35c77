"""Booking trades from files through the gateway, as a stream both ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from wattbook.clock import Clock

from wattbook_cli.clients.gateway import Gateway
from wattbook_cli.domain.batches import RESULTS, Counts, Outcome, Refusal
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.sources import Source

_PATH = "/v1/trades/batch"


def import_file(
    gateway: Gateway,
    source: Source,
    *,
    clock: Clock,
    marked: bool,
    sent: Callable[[int], None],
    spool: IO[str],
) -> Outcome:
    """Book one file; its refused rows are left in ``spool`` for :func:`refusals`.

    ``marked`` books its trades as coming from the exchange's file; ``sent`` is told the bytes sent so far.

    Raises:
        Stop: it was not booked as a whole; doing it again is safe.
    """
    query = {"results": "refused", **({"source": "file"} if marked else {})}
    started_s = clock.monotonic_s()
    summary: dict[str, Any] | None = None
    with gateway.upload(
        _PATH, content=source.chunks(sent), content_type=source.content_type, query=query
    ) as lines:
        for line in lines:
            answer = json.loads(line) if line else {}
            if "summary" in answer:
                summary = answer["summary"]
            elif answer:
                spool.write(line + "\n")
    if summary is None:
        raise Stop(f"{source.name}: the answer broke off; import it again (nothing is booked twice)")
    counts = Counts(**{name: summary[name] for name in RESULTS})
    return Outcome(source.name, counts, clock.monotonic_s() - started_s)


def refusals(source: Source, spool: IO[str]) -> Iterator[Refusal]:
    """The refused rows of a file that was booked, in order."""
    spool.seek(0)
    return source.placed(_refusal(json.loads(line)) for line in spool)


def may_mark(me: dict[str, Any]) -> bool:
    """Whether this user's trades can be marked as coming from the exchange's file."""
    return bool({"desk", "admin", "service"} & set(me.get("roles", ())))


def _refusal(answer: dict[str, Any]) -> Refusal:
    return Refusal(
        row=int(answer["row"]),
        line=None,
        trade_id=str(answer.get("id") or ""),
        result=str(answer["result"]),
        reason=str(answer.get("reason") or ""),
    )
