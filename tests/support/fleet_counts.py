"""What must hold of a fleet after restarts and kills, counted at its ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tests.support.fleet import Fleet
from tests.support.live_faults import (
    PREFIX,
    assert_booked_as_heard,
    assert_dashboards_agree,
    assert_within_limits,
)


def assert_whole(
    fleet: Fleet, *, acknowledged: Mapping[str, dict[str, Any]], unanswered: Collection[str] = ()
) -> None:
    """Booked is what was heard and what was acknowledged, each once; and shown is what that adds up to.

    Of what was ``unanswered`` any may be booked.
    """
    heard = assert_booked_as_heard(fleet)
    with fleet.client() as admin:
        booked = admin.trades()
    by_rest = {trade["id"]: trade for trade in booked if not trade["id"].startswith(PREFIX)}
    assert len(booked) == len(heard) + len(by_rest), "a trade is booked twice"
    missing = acknowledged.keys() - by_rest.keys()
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged trades are missing"
    assert by_rest.keys() - acknowledged.keys() <= set(unanswered)
    for identity, sent in acknowledged.items():
        assert {**by_rest[identity], "quantity": float(by_rest[identity]["quantity"])} == sent
    seqs = "SELECT min(booking_seq), max(booking_seq), count(*) FROM trades"
    assert fleet.rows("trade", seqs) == [(1, len(booked), len(booked))], "booking_seq has a gap"
    assert_dashboards_agree(fleet, booked)
    assert_within_limits(fleet)
