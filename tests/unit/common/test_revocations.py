"""What is known of sessions that are over, and how it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

from wattbook.auth.revocations import AWAY_AFTER_S, Follower, Revocation, Revocations, Session
from wattbook.clock import FakeClock

NOW = datetime(2023, 2, 28, 12, tzinfo=UTC)
SINCE_S = int(NOW.timestamp())


def test_it_asks_for_what_follows_the_last_that_it_heard() -> None:
    asked: list[int] = []
    told = [Revocation(4, "ana", None, 1), Revocation(5, "ben", "s", 0)]
    revocations = Revocations(FakeClock(NOW))

    def ask(version: int) -> tuple[int, list[Revocation]]:
        asked.append(version)
        return 5, [each for each in told if each.version > version]

    follower = Follower(revocations, ask, then=lambda: asked.append(-1))
    follower.poll()
    follower.poll()

    assert asked == [0, -1, 5, -1]
    assert revocations.is_over("ana", Session("any", 0), since_s=SINCE_S)
    assert not revocations.is_over("ana", Session("any", 1), since_s=SINCE_S)
    assert revocations.is_over("ben", Session("s", 7), since_s=SINCE_S)


def test_where_the_versions_begin_again_all_sessions_until_then_are_over() -> None:
    clock = FakeClock(NOW)
    revocations = Revocations(clock)
    revocations.hear(5, [Revocation(5, "ana", None, 1)])
    clock.advance(60)

    revocations.hear(2, [])

    assert revocations.is_over("ben", Session("s", 0), since_s=SINCE_S)
    assert not revocations.is_over("ben", Session("s", 0), since_s=SINCE_S + 60)
    assert revocations.version == 2


def test_silence_is_noticed_after_some_tries_and_an_older_release_is_no_silence() -> None:
    clock = FakeClock(NOW)
    revocations, unused = Revocations(clock), Revocations(clock, is_used=False)
    clock.advance(AWAY_AFTER_S)
    assert revocations.away_s == 0
    clock.advance(1)
    assert (revocations.away_s, unused.away_s) == (AWAY_AFTER_S + 1, 0)

    Follower(revocations, lambda _version: None, then=lambda: None).poll()

    assert revocations.away_s == 0
