"""Up to when everything was heard, and which gaps are certain."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ingest_service.domain import Coverage, Gap, Heard, HeardKind, complete_to_us

OPENED, FRAME, PONG, CLOSED = HeardKind.OPENED, HeardKind.FRAME, HeardKind.PONG, HeardKind.CLOSED


def sign(kind: HeardKind, session: int, at_us: int) -> Heard:
    return Heard(kind, session, at_us, "ws://x", b"")


def heard(coverage: Coverage, *signs: tuple[HeardKind, int, int]) -> list[Gap]:
    return [gap for each in signs for gap in coverage.add([sign(*each)])]


def test_nothing_is_covered_before_anything_was_heard() -> None:
    assert Coverage().covered_to_us == 0


def test_the_first_connection_ever_begins_without_a_gap() -> None:
    coverage = Coverage()

    assert heard(coverage, (OPENED, 1, 100), (FRAME, 1, 120), (PONG, 1, 150)) == []
    assert coverage.covered_to_us == 150


def test_a_connection_that_ended_leaves_a_gap_from_its_last_sign_of_life() -> None:
    coverage = Coverage()

    gaps = heard(coverage, (OPENED, 1, 100), (FRAME, 1, 120), (CLOSED, 1, 200), (OPENED, 2, 300))

    assert gaps == [Gap(120, 300)]
    assert coverage.covered_to_us == 300


def test_after_a_restart_the_gap_begins_where_the_last_process_had_heard_everything() -> None:
    assert heard(Coverage(50), (OPENED, 1, 100)) == [Gap(50, 100)]


def test_another_listener_that_was_quiet_meanwhile_proves_that_there_was_no_gap() -> None:
    coverage = Coverage()
    gaps = heard(
        coverage, (OPENED, 1, 100), (OPENED, 2, 101), (FRAME, 2, 110), (CLOSED, 2, 120), (OPENED, 3, 200)
    )

    assert gaps == []
    assert heard(coverage, (PONG, 1, 190), (PONG, 1, 250)) == []
    assert coverage.covered_to_us == 250


def test_a_frozen_listener_proves_nothing_until_it_is_found_out() -> None:
    coverage = Coverage()
    gaps = heard(
        coverage, (OPENED, 1, 100), (OPENED, 2, 100), (FRAME, 2, 110), (CLOSED, 2, 120), (OPENED, 3, 200),
        (FRAME, 3, 300),
    )  # fmt: skip

    assert gaps == []
    assert coverage.covered_to_us == 110
    assert heard(coverage, (CLOSED, 1, 400)) == [Gap(110, 200)]
    assert coverage.covered_to_us == 300


def test_a_connection_replaced_before_it_ended_leaves_no_gap() -> None:
    coverage = Coverage()

    assert heard(coverage, (OPENED, 1, 100), (OPENED, 2, 200), (PONG, 1, 210), (CLOSED, 1, 220)) == []
    assert coverage.covered_to_us == 210


@given(
    sessions=st.lists(
        st.tuples(st.integers(1, 50), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6
    )
)
def test_gaps_are_exactly_what_no_connection_proves(sessions: list[tuple[int, int, int]]) -> None:
    spans = [(start, start + alive, start + alive + dying) for start, alive, dying in sessions]
    signs = [
        each
        for number, (start, last, end) in enumerate(spans)
        for each in ((start, 0, OPENED, number), (last, 1, PONG, number), (end, 2, CLOSED, number))
    ]
    coverage = Coverage()

    gaps = [gap for at, _, kind, number in sorted(signs, key=lambda s: s[:2]) for gap in coverage.add(
        [sign(kind, number, at)])]  # fmt: skip

    first, final = min(start for start, _, _ in spans), max(last for _, last, _ in spans)
    proven = {at for start, last, _ in spans for at in range(start, last)}
    unproven = {at for gap in gaps for at in range(gap.began_us, gap.ended_us)}
    assert unproven == set(range(first, coverage.covered_to_us)) - proven
    assert coverage.covered_to_us == final


def complete(**changes: object) -> int:
    day: dict[str, object] = {
        "begins_us": 1000,
        "ends_us": 2000,
        "reconciled_us": 0,
        "covered_to_us": 1500,
        "first_us": 500,
        "gap": None,
    }
    return complete_to_us(**{**day, **changes})  # type: ignore[arg-type]


def test_a_day_is_complete_up_to_its_first_gap_or_to_what_is_covered() -> None:
    assert complete() == 1500
    assert complete(covered_to_us=5000) == 2000
    assert complete(gap=Gap(1200, 1300)) == 1200
    assert complete(gap=Gap(900, 1100)) == 1000
    assert complete(gap=Gap(2500, 2600), covered_to_us=3000) == 2000


def test_a_nightly_file_completes_its_day() -> None:
    assert complete(reconciled_us=2100, gap=Gap(1200, 1300), first_us=0) == 2000
    assert complete(reconciled_us=1400) == 1500


def test_nothing_is_known_of_a_day_before_the_feed_or_after_what_is_covered() -> None:
    assert complete(first_us=0) == 0
    assert complete(first_us=2000) == 0
    assert complete(covered_to_us=999) == 0
