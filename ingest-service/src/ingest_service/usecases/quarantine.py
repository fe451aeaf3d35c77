"""Look at what was set aside, send it to the owner of the trades again, or let it go for good."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from wattbook.bus import Message
from wattbook.clock import Clock, to_epoch_us
from wattbook.errors import Conflict, InvalidInput, NotFound
from wattbook.loop import Loop
from wattbook.retry import Backoff
from wattbook.telemetry.catalogue import FEED_QUARANTINED
from wattbook.telemetry.metrics import Counter
from wattbook.text import trader_id_problem

from ingest_service.domain import (
    NOTHING_MORE,
    UNKNOWN_FIELD,
    ConfirmedTrade,
    FrameRules,
    Page,
    Place,
    Quarantined,
    QuarantineState,
    UnknownField,
    Unreadable,
    place_of,
    public_number,
    read_frame,
)
from ingest_service.store import QuarantineStore, Spooled
from ingest_service.store.quarantine import Refusal

_log = logging.getLogger(__name__)

_QUARANTINED = Counter(FEED_QUARANTINED)
RETRY_S, STOP_S = 5.0, 2.0
USUALLY_LISTED, MOST_LISTED = 100, 1_000
MOST_NAME, MOST_REASON = 200, 2_000
BY_RULE = "the exchange's statement wins"
# As the book refused what the exchange stated otherwise than a client, before that rule; it says so no more.
BEFORE_THE_RULE = "already booked with another "
BY_SETTING = "WATTBOOK_FEED_ALLOWED_FIELDS"  # who decided, where nobody did but the configuration


class Announce(Protocol):
    """Makes the events that tell the owner of trades, of a spool, and who of the desk accepted them."""

    def __call__(  # noqa: D102
        self, trades: Sequence[tuple[ConfirmedTrade, Spooled]], spool: str, *, accepted_by: str = ""
    ) -> list[Message]: ...


class Quarantine:
    """Every method raises Unavailable where the store cannot be used now."""

    def __init__(
        self,
        store: QuarantineStore,
        *,
        clock: Clock,
        spool: str,
        announce: Announce,
        committed: Callable[[], None],
        node: int = 0,
        rules: FrameRules = NOTHING_MORE,
    ) -> None:
        """Decide over what ``store`` keeps; ``committed`` is called after an event went into the outbox.

        Numbers are unique over nodes: those of ``node``, in and out.
        """
        self._store = store
        self._clock = clock
        self._spool = spool
        self._announce = announce
        self._committed = committed
        self._node = node
        self._rules = rules

    def page(self, *, state: QuarantineState | None, before: Place | None, limit: int) -> Page:
        """Newest first, without frames."""
        limit = min(limit or USUALLY_LISTED, MOST_LISTED)
        own = Place(before.received_us, self._own(before.number)) if before else None
        found = self._store.page(state=state, before=own, limit=limit + 1)
        shown = [self._public(item) for item in found[:limit]]
        return Page(shown, self.count_open(), place_of(shown[-1]) if len(found) > limit else None)

    def count_open(self) -> int:
        """How many wait for a decision."""
        return self._store.count_open()

    def show(self, number: int) -> Quarantined:
        """One with its frame.

        Raises:
            NotFound: there is none of that number.
        """
        return self._there(self._store.get(self._own(number)), number)

    def replay(self, number: int, *, by: str, trader_id: str = "") -> Quarantined:
        """Read it again, and where that works now, hand it to the owner again.

        With ``trader_id`` it is handed on for that trader as the exchange's last word, under an id that would
        not be booked otherwise; who wants that is written down. Where the owner refuses it again, it opens
        again a moment later, with the new reason.

        Raises:
            NotFound: there is none of that number.
            Conflict: it was dropped, or its frame is gone.
            InvalidInput: trades are booked for no trader of that name.
        """
        by, item = _name(by), self.show(number)
        if trader_id and (problem := trader_id_problem(trader_id)):
            raise InvalidInput(f"trader_id: {problem}")
        if item.state is QuarantineState.DROPPED:
            raise Conflict(f"{number} was dropped by {item.decided_by}")
        if not item.frame and item.trade_id:
            raise Conflict(f"the frame of {number} is no longer there; the nightly file has the trade")
        try:
            trade = read_frame(item.frame, self._rules, trader_id=trader_id)
        except Unreadable as error:
            still = self._store.decide(
                self._own(number), state=QuarantineState.OPEN, by=by, at_us=self._now_us(), reason=str(error)
            )
            return self._there(still, number)
        if trade is None:
            return self.drop(number, by=by, reason="a heartbeat")
        frame = Spooled(item.frame_id, item.received_us, item.origin, item.frame)
        (message,) = self._announce([(trade, frame)], self._spool, accepted_by=by if trader_id else "")
        why = f"{item.reason} (booked for {trader_id})"[-MOST_REASON:] if trader_id else item.reason
        own = replace(item, id=self._own(number), reason=why)
        replayed = self._store.replay(own, trade, message, by=by, at_us=self._now_us())
        self._committed()
        return self._there(replayed, number)

    def drop(self, number: int, *, by: str, reason: str) -> Quarantined:
        """Let it go for good; it is kept, and says who did it and why.

        Raises:
            NotFound: there is none of that number.
        """
        by, item = _name(by), self.show(number)
        if item.state is QuarantineState.DROPPED:
            return item
        why = f"{item.reason} (dropped: {reason[:MOST_NAME]})" if reason else item.reason
        dropped = self._store.decide(
            self._own(number), state=QuarantineState.DROPPED, by=by, at_us=self._now_us(), reason=why
        )
        return self._there(dropped, number)

    def replay_conflicts(self, *, keep_going: Callable[[], bool]) -> int:
        """Replay what a client's booking kept out of the book before the exchange's statement won."""
        replayed = last = 0
        while numbers := self._store.open_numbers(reason_begins=BEFORE_THE_RULE, after=last):
            last = numbers[-1]
            for number in numbers:
                if not keep_going():
                    return replayed
                with suppress(Conflict, NotFound):  # somebody decided meanwhile, or its frame is gone
                    self.replay(public_number(number, node=self._node), by=BY_RULE)
                    replayed += 1
        return replayed

    def replay_allowed(self, *, keep_going: Callable[[], bool]) -> int:
        """Replay what waits only for fields that are allowed by now; how much that was."""
        replayed = last = 0
        while numbers := self._store.open_numbers(reason_begins=UNKNOWN_FIELD, after=last):
            last = numbers[-1]
            for number in numbers:
                if not keep_going():
                    return replayed
                replayed += self._replay_where_allowed(public_number(number, node=self._node))
        return replayed

    def _replay_where_allowed(self, number: int) -> bool:
        try:
            read_frame(self.show(number).frame, self._rules)
        except UnknownField:
            return False
        except Unreadable:
            pass  # the reason that it waits for from now on
        with suppress(Conflict, NotFound):  # somebody decided meanwhile
            return self.replay(number, by=BY_SETTING).state is QuarantineState.REPLAYED
        return False

    def refused(self, refusals: Sequence[tuple[int, str, str]]) -> None:
        """Set aside what the owner refused: the frame's number, the trade's id, and why."""
        if refusals:
            new = self._store.refused([Refusal(*each) for each in refusals], at_us=self._now_us())
            _QUARANTINED.add(new, {"reason": "refused"})

    def _now_us(self) -> int:
        return to_epoch_us(self._clock.now())

    def _own(self, number: int) -> int:
        return number - public_number(0, node=self._node)

    def _public(self, item: Quarantined) -> Quarantined:
        return replace(item, id=public_number(item.id, node=self._node))

    def _there(self, item: Quarantined | None, number: int) -> Quarantined:
        if item is None:
            raise nothing_under(number)
        return self._public(item)


def nothing_under(number: int) -> NotFound:
    """What is raised where there is none of that number."""
    return NotFound(f"nothing is quarantined under the number {number}")


def _name(by: str) -> str:
    if not by.strip() or len(by) > MOST_NAME:
        raise InvalidInput(f"by: who decides, 1 to {MOST_NAME} characters")
    return by


class ReplayAtStart(Loop):
    """A thread that replays, once after a start, what waited for what this release or its settings allow.

    A stop breaks it off; the next start goes on.
    """

    def __init__(self, quarantine: Quarantine) -> None:
        """Of ``quarantine``."""
        super().__init__("replay-at-start", backoff=Backoff(RETRY_S, RETRY_S), stop_s=STOP_S)
        self._quarantine = quarantine

    def turn(self) -> None:
        """All that waits."""
        allowed = self._quarantine.replay_allowed(keep_going=self._keep_going)
        conflicts = self._quarantine.replay_conflicts(keep_going=self._keep_going)
        if allowed:
            _log.info("replayed %s frames whose fields are allowed now", allowed)
        if conflicts:
            _log.info("replayed %s frames: the exchange's statement wins now", conflicts)

    def _keep_going(self) -> bool:
        return not self.stopping.is_set()
