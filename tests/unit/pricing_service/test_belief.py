"""When publications are expected, from those that were seen."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from pricing_service.domain import Belief, Sighting

BASE = 2_792_792 * 600  # a full ten minutes


def sightings(
    count: int, *, ahead_s: float = 0.0, phase_s: float = 0.0, looks_s: float = 1.1, publication: bool = True
) -> list[Sighting]:
    rng = Random(4)
    found = []
    for cycle in range(count):
        late_s = rng.uniform(0, 30)
        out_s = BASE + 600 * cycle + phase_s + late_s - ahead_s
        seen_s = out_s + rng.uniform(0, looks_s)
        stamp_s = BASE + 600 * cycle + phase_s + (late_s if publication else 0.0)
        found.append(Sighting(seen_s - looks_s, seen_s, float(int(stamp_s))))
    return found


def window(belief: Belief, cycle: int) -> tuple[float, float]:
    begin, end = belief.window(cycle)
    return begin - cycle * 600, end - cycle * 600


def test_before_anything_was_seen_clocks_are_taken_to_agree() -> None:
    begin, end = window(Belief.of([]), 7)

    assert -1 < begin <= 0
    assert 30 <= end < 31


@pytest.mark.parametrize("ahead_s", [0.0, 60.0, -60.0, 7.3])
def test_a_clock_that_is_wrong_is_learned_to_the_second(ahead_s: float) -> None:
    begin, end = window(Belief.of(sightings(12, ahead_s=ahead_s)), 20)

    assert begin <= -ahead_s <= begin + 1.0
    assert end - 1.0 <= 30 - ahead_s <= end


def test_two_sightings_already_tell_the_provider_s_clock_to_two_seconds() -> None:
    begin, _ = window(Belief.of(sightings(2, ahead_s=60.0)), 20)

    assert begin <= -60.0 <= begin + 2.5


def test_cycles_that_do_not_begin_at_the_full_ten_minutes_are_learned_from_stamps() -> None:
    begin, end = window(Belief.of(sightings(30, phase_s=315.0)), 50)

    assert begin <= 315.0 <= begin + 4.0
    assert end - 4.0 <= 345.0 <= end


def test_stamps_that_are_not_the_instant_of_publication_are_found_out() -> None:
    begin, end = window(Belief.of(sightings(40, publication=False)), 50)

    assert begin <= 0 <= begin + 4
    assert end - 4 <= 30 <= end


def test_a_clock_that_was_set_makes_older_sightings_worthless() -> None:
    seen = [*sightings(20), *sightings(23, ahead_s=-45.0)[20:]]

    begin, _ = window(Belief.of(seen), 50)

    assert begin <= 45.0 <= begin + 2.5


def test_looks_are_spread_evenly_where_every_instant_is_as_likely() -> None:
    belief = Belief.of(sightings(40, looks_s=0.2))
    begin, end = belief.window(100)
    looks = [begin]
    for left in range(14, 0, -1):
        looks.append(belief.next_probe(100, after=looks[-1], probes=left))
    gaps = [after - before for before, after in pairwise(looks)]

    assert looks[-1] == pytest.approx(end)
    assert all(gap == pytest.approx(30 / 14, rel=0.15) for gap in gaps[1:-1])


def test_a_stamp_belongs_to_the_cycle_it_was_published_in() -> None:
    belief = Belief.of([])

    assert belief.cycle_of(BASE + 29.0) == belief.cycle_of(BASE) == BASE // 600
    assert belief.cycle_at(BASE + 599.0) == BASE // 600
    assert belief.cycle_at(BASE + 600.0) == BASE // 600 + 1
