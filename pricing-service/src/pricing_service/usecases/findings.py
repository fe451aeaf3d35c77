"""What came back from the provider and is not in the store yet."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pricing_service.domain import (
    Health,
    NewPrice,
    Outcome,
    Price,
    Schedule,
    Sighting,
    Slot,
    Trouble,
    periods_told,
)
from pricing_service.store import Known, Note

_log = logging.getLogger(__name__)

MOST_REASON = 500
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came of it, when; ``cause`` is the traceparent of the asking, where recorded."""

    number: int
    slot: Slot
    sent_s: float
    outcome: Outcome
    at_s: float
    cause: str = ""


class Findings:
    """Collected until they are written down, so that a store that is down loses none."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._prices: list[NewPrice] = []
        self._settled: dict[int, float] = {}
        self.causes: list[str] = []
        self._last_sighting_s = 0.0
        self._held_until_us = 0
        self._health = self._written_health = Health()

    def go_on(self, known: Known) -> None:
        """What the store knows need not be written again."""
        self._last_sighting_s = known.sightings[-1].stamp_s if known.sightings else 0.0
        self._health = self._written_health = known.health
        self._held_until_us = known.health.held_until_us

    def take(self, answer: Answer, schedule: Schedule | None) -> None:
        """Keep what an answer says, and tell the schedule, if this replica polls."""
        outcome = answer.outcome
        self.causes.append(answer.cause)
        if not (isinstance(outcome, Trouble) and outcome.open_end):
            self._settled[answer.number] = answer.at_s
            if schedule is not None:
                schedule.spent.settle(answer.number, answer.at_s)
        if isinstance(outcome, Price):
            fetched_us = round(answer.at_s * _US)
            self._prices += [
                NewPrice(start, outcome.value_eur_per_mwh, outcome.last_update_us, fetched_us)
                for start in periods_told(answer.slot, outcome.last_update_us)
            ]
        if schedule is not None:
            schedule.answered(answer.slot, outcome, sent_s=answer.sent_s, now=answer.at_s)
            self._held_until_us = round(schedule.patience.held_until_s * _US)
        self._judge(outcome, answer.at_s)

    def note(self, schedule: Schedule | None) -> Note | None:
        """All of it to be written down; None where there is nothing."""
        new = [seen for seen in _last(schedule) if seen.stamp_s > self._last_sighting_s]
        health = self._health if self._health != self._written_health else None
        if not (self._prices or self._settled or new or health):
            return None
        return Note(self._prices, self._settled, new, health)

    def written(self, note: Note) -> None:
        """It is in the store."""
        self._prices, self._settled, self.causes = [], {}, []
        if note.sightings:
            self._last_sighting_s = note.sightings[-1].stamp_s
        self._written_health = note.health or self._written_health

    def _judge(self, outcome: Outcome, at_s: float) -> None:
        """Keep how the provider is doing; log when that changes."""
        if not isinstance(outcome, Trouble):
            if self._health.trouble:
                _log.info("the provider answers again", extra={"trouble_was": self._health.trouble})
            self._health = Health(round(at_s * _US), held_until_us=self._held_until_us)
        elif not outcome.unsent:
            if not self._health.trouble:
                _log.warning("the provider is in trouble", extra={"reason": outcome.reason})
            since_us = self._health.trouble_since_us or round(at_s * _US)
            reason = outcome.reason[:MOST_REASON]
            self._health = Health(self._health.last_success_us, reason, since_us, self._held_until_us)


def _last(schedule: Schedule | None) -> list[Sighting]:
    return schedule.sightings[-1:] if schedule is not None else []
