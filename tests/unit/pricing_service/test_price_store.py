"""What the store promises; the simulation's stand-in keeps to it too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from pricing_service.api import price_events
from pricing_service.domain import Deposed, Health, Limits, NewPrice, Sighting
from pricing_service.store import Note, PriceStore, Wishes
from wattbook.db import Store, migrate, open_store
from wattbook.outbox import outbox_table
from wattbook_proto import events_pb2

from tests.support.engines import NewStoreUrl
from tests.support.price_day import MemoryPrices

LIMITS = Limits(per_minute=5, per_hour=8, minute_reserve=1, hour_reserve=2)
NOW_S = 1_675_675_860.0
HOUR_S = 1_675_681_200


@pytest.fixture
def database(new_store_url: NewStoreUrl) -> Iterator[Store]:
    store = open_store(new_store_url("pricing"), name="pricing")
    migrate(store, "pricing_service")
    yield store
    store.close()


@pytest.fixture(params=["real", "stand-in"])
def store(request: pytest.FixtureRequest, database: Store) -> Any:
    return PriceStore(database, announce=price_events) if request.param == "real" else MemoryPrices()


@pytest.fixture
def prices(database: Store) -> PriceStore:
    return PriceStore(database, announce=price_events)


def spend(store: Any, count: int, *, at_s: float = NOW_S, holder: str = "a", keep: bool = False) -> list[int]:
    return store.spend(
        holder, limits=LIMITS, now_s=at_s, count=count, keep=keep, counts_s=at_s + 11, until_s=at_s + 6
    )


def price(value: str, stamp_s: float, *, start_s: int = HOUR_S) -> NewPrice:
    return NewPrice(start_s, value, round(stamp_s * 1e6), round((stamp_s + 1) * 1e6))


def test_one_polls_and_another_only_when_its_time_is_over(store: Any) -> None:
    assert store.lead("a", now_s=NOW_S, until_s=NOW_S + 6)
    assert not store.lead("b", now_s=NOW_S + 5.9, until_s=NOW_S + 12)
    assert store.lead("a", now_s=NOW_S + 5.9, until_s=NOW_S + 11.9)
    assert store.lead("b", now_s=NOW_S + 12, until_s=NOW_S + 18)
    assert not store.lead("a", now_s=NOW_S + 12, until_s=NOW_S + 18)


def test_who_resigns_lets_another_poll_at_once(store: Any) -> None:
    store.lead("a", now_s=NOW_S, until_s=NOW_S + 6)
    store.resign("b")
    assert not store.lead("b", now_s=NOW_S, until_s=NOW_S + 6)

    store.resign("a")

    assert store.lead("b", now_s=NOW_S, until_s=NOW_S + 6)


def test_a_deposed_leader_cannot_spend(store: Any) -> None:
    store.lead("a", now_s=NOW_S, until_s=NOW_S + 6)
    store.lead("b", now_s=NOW_S + 7, until_s=NOW_S + 13)

    with pytest.raises(Deposed):
        spend(store, 1, at_s=NOW_S + 8)
    with pytest.raises(Deposed):
        store.shift("a", 5.0)
    assert not store.known(now_s=NOW_S + 8, since_s=0).spent


def test_nobody_spends_whose_time_is_over(store: Any) -> None:
    store.lead("a", now_s=NOW_S, until_s=NOW_S + 6)

    with pytest.raises(Deposed):
        spend(store, 1, at_s=NOW_S + 6)


def test_spending_is_cut_to_what_the_limits_leave_and_keeps_the_lead(store: Any) -> None:
    store.lead("a", now_s=NOW_S, until_s=NOW_S + 6)

    first = spend(store, 3)
    assert len(first) == len(set(first)) == 3
    assert len(spend(store, 3, at_s=NOW_S + 5, keep=True)) == 1, "one is in reserve"
    assert len(spend(store, 3, at_s=NOW_S + 10)) == 1, "the time was made longer each time"
    assert spend(store, 1, at_s=NOW_S + 15) == []
    assert store.known(now_s=NOW_S + 15, since_s=0).spent == {
        **dict.fromkeys(first, NOW_S + 11),
        first[-1] + 1: NOW_S + 16,
        first[-1] + 2: NOW_S + 21,
    }


def test_settled_requests_count_at_their_answers(store: Any) -> None:
    store.lead("a", now_s=NOW_S, until_s=NOW_S + 6)
    one, two = spend(store, 2)

    store.note(Note(settled={one: NOW_S + 1, two: NOW_S + 50}))

    assert store.known(now_s=NOW_S, since_s=0).spent == {one: NOW_S + 1, two: NOW_S + 11}


def test_a_clock_that_was_set_moves_everything_with_it(store: Any) -> None:
    store.lead("a", now_s=NOW_S, until_s=NOW_S + 6)
    (one,) = spend(store, 1)
    held = Health(0, "slow down", 1, held_until_us=round((NOW_S + 900) * 1e6))
    store.note(Note(sightings=[Sighting(NOW_S - 2, NOW_S - 1, NOW_S - 1.5)], health=held))

    store.shift("a", -100.0)

    known = store.known(now_s=NOW_S - 100, since_s=0)
    assert known.spent == {one: NOW_S - 89}
    assert known.sightings == [Sighting(NOW_S - 102, NOW_S - 101, NOW_S - 1.5)], "its stamp is the provider's"
    assert known.health.held_until_us == round((NOW_S + 800) * 1e6)
    assert spend(store, 1, at_s=NOW_S - 95)


def test_what_was_learned_is_there_for_the_next_leader(store: Any) -> None:
    health = Health(5, "down", 7, 11)
    seen = [Sighting(NOW_S - 2, NOW_S - 1, NOW_S - 1.5), Sighting(NOW_S + 598, NOW_S + 599, NOW_S + 598.5)]

    store.note(Note([price("1.5", NOW_S)], {}, seen[:1], health))
    store.note(Note([price("1.7", NOW_S + 600)], {}, seen[1:], None))

    known = store.known(now_s=NOW_S, since_s=HOUR_S - 1)
    assert known.stamps_us == {HOUR_S: round((NOW_S + 600) * 1e6)}
    assert known.sightings == seen
    assert known.health == health
    assert store.known(now_s=NOW_S, since_s=HOUR_S).stamps_us == {}


def test_an_older_price_never_replaces_a_newer_one(store: Any) -> None:
    store.note(Note([price("2.0", NOW_S)]))
    store.note(Note([price("1.0", NOW_S - 600), price("3.0", NOW_S)]))

    assert store.known(now_s=NOW_S, since_s=0).stamps_us == {HOUR_S: round(NOW_S * 1e6)}


def test_history_has_every_value_once_in_gapless_order_and_each_is_told(
    prices: PriceStore, database: Store
) -> None:
    first = [price("10", NOW_S), price("-3.250", NOW_S, start_s=HOUR_S + 3600)]
    again = [price("10", NOW_S), price("12.0", NOW_S + 600), price("9", NOW_S - 600)]

    told = [prices.note(Note(first)), prices.note(Note(again)), prices.note(Note(again))]

    assert [[(row.price_seq, row.value_eur_per_mwh) for row in rows] for rows in told] == [
        [(1, "10"), (2, "-3.250")],
        [(3, "12.0")],
        [],
    ]
    history = prices.history(start_s=HOUR_S, minutes=60)
    assert [row.value_eur_per_mwh for row in history] == ["10", "12.0"]
    assert [row.cycle_start_s for row in history] == [1_675_675_800, 1_675_676_400]
    last_seq, newest = prices.day(from_s=HOUR_S, before_s=HOUR_S + 7200)
    assert last_seq == 3
    assert [(row.price_seq, row.value_eur_per_mwh) for row in newest] == [(3, "12.0"), (2, "-3.250")]
    with database.read() as connection:
        rows = connection.execute(outbox_table(sa.MetaData()).select()).all()
    events = [events_pb2.PricesUpdated.FromString(row.body) for row in rows]
    assert [row.type for row in rows] == ["price.updated"] * 2
    assert [each.price_seq for event in events for each in event.prices] == [1, 2, 3]


def test_two_replicas_that_spend_at_once_never_spend_the_same(new_store_url: NewStoreUrl) -> None:
    """Two stores over one database, as two processes have: one leads, and no number is given out twice."""
    url = new_store_url("pricing")
    stores = [open_store(url, name=f"p{index}") for index in (1, 2)]
    migrate(stores[0], "pricing_service")
    found: list[int] = []

    def work(holder: str, store: PriceStore) -> None:
        for step in range(40):
            now_s = NOW_S + step
            try:
                if store.lead(holder, now_s=now_s, until_s=now_s + 0.5):
                    found.extend(spend(store, 1, at_s=now_s, holder=holder))
            except Deposed:
                continue

    threads = [
        threading.Thread(target=work, args=(f"r{index}", PriceStore(store, announce=price_events)))
        for index, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(found) == len(set(found)) <= LIMITS.per_minute
    for store in stores:
        store.close()


def test_watched_hours_come_before_traded_ones_for_a_while(database: Store) -> None:
    wishes = Wishes(database)
    wishes.traded([HOUR_S + 3600, HOUR_S])
    wishes.watched([HOUR_S + 7200, HOUR_S + 3600], until_s=NOW_S + 900)
    wishes.traded([HOUR_S])

    assert wishes.wanted(now_s=NOW_S) == [HOUR_S + 3600, HOUR_S + 7200, HOUR_S]
    assert wishes.wanted(now_s=NOW_S + 901) == [HOUR_S, HOUR_S + 3600]
    assert wishes.wanted(now_s=HOUR_S + 5 * 3600) == []
