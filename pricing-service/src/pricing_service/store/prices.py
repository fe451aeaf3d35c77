"""Prices with their history, and the budget: spending it, settling it, who may."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa
from wattbook import outbox
from wattbook.bus import Message
from wattbook.db import Store, in_values

from pricing_service.domain import (
    AREA,
    LONGEST_S,
    Deposed,
    Health,
    KnownPrice,
    Limits,
    NewPrice,
    Sighting,
    Spent,
    cycle_start_s,
)
from pricing_service.store.tables import health, polling, price_counter, prices, sightings, spent

HOUR_MINUTES = 60
KEEP_SIGHTINGS = 96
_US = 1_000_000

Announce = Callable[[Sequence[KnownPrice]], list[Message]]


@dataclass(frozen=True, slots=True)
class Note:
    """What one turn of the poller learned."""

    prices: Sequence[NewPrice] = ()
    settled: Mapping[int, float] = field(default_factory=dict)
    sightings: Sequence[Sighting] = ()
    health: Health | None = None


class Known(NamedTuple):
    """What a new leader starts from: requests that may still count, newest stamps by start, publications."""

    spent: dict[int, float]
    stamps_us: dict[int, int]
    sightings: list[Sighting]
    health: Health


class Facts(NamedTuple):
    """What is asked for when somebody asks how it goes."""

    spent: dict[int, float]
    newest_us: int
    stamps_us: dict[int, int]
    health: Health


class PriceStore:
    """Everything raises :class:`wattbook.errors.Unavailable` where the store cannot work now."""

    def __init__(self, store: Store, *, announce: Announce) -> None:
        """Keep prices in ``store``, which must be migrated; ``announce`` makes the events about them."""
        self._store = store
        self._announce = announce

    def lead(self, holder: str, *, now_s: float, until_s: float) -> bool:
        """Become or stay the one that polls; False while another is."""
        with self._store.read() as connection:
            if not _may_lead(connection, holder, now_s):
                return False
        with self._store.write(durable=False) as connection:  # who holds it when the power fails is gone
            if not _may_lead(connection, holder, now_s, lock=True):
                return False
            connection.execute(sa.update(polling).values(holder=holder, until_us=_us(until_s)))
        return True

    def resign(self, holder: str) -> None:
        """Let another poll at once."""
        with self._store.write(durable=False) as connection:
            connection.execute(sa.update(polling).where(polling.c.holder == holder).values(until_us=0))

    def known(self, *, now_s: float, since_s: float) -> Known:
        """What a new leader starts from; stamps of hours that start after ``since_s``."""
        with self._store.read() as connection:
            rows = connection.execute(sa.select(sightings).order_by(sightings.c.stamp_us)).all()
            return Known(
                spent=_spent(connection, now_s),
                stamps_us=_stamps_us(connection, prices.c.delivery_start_s > since_s),
                sightings=[Sighting(row.after_us / _US, row.by_us / _US, row.stamp_us / _US) for row in rows],
                health=_health(connection),
            )

    def spend(
        self,
        holder: str,
        *,
        limits: Limits,
        now_s: float,
        count: int,
        keep: bool,
        counts_s: float,
        until_s: float,
    ) -> list[int]:
        """Durably write down up to ``count`` requests before they are sent; their numbers.

        In one transaction with the look at who polls, which also stays ``holder`` until ``until_s``. They
        count at ``counts_s`` until settled. Fewer, or none, where the limits leave no more.

        Raises:
            Deposed: another polls now.
        """
        with self._store.write() as connection:
            lease = connection.execute(sa.select(polling).with_for_update()).one()
            if lease.holder != holder or lease.until_us <= _us(now_s):
                raise Deposed
            connection.execute(sa.delete(spent).where(spent.c.counted_us <= _us(now_s - LONGEST_S)))
            left = Spent(limits, _spent(connection, now_s)).left(now_s, keep=keep)
            numbers = [lease.last_request + 1 + index for index in range(min(count, left))]
            if numbers:
                rows = [
                    {"request": number, "sent_us": _us(now_s), "counted_us": _us(counts_s)}
                    for number in numbers
                ]
                connection.execute(sa.insert(spent), rows)
                connection.execute(sa.update(polling).values(until_us=_us(until_s), last_request=numbers[-1]))
        return numbers

    def note(self, note: Note) -> list[KnownPrice]:
        """Write down what was learned; the prices that were not known yet. Safe to repeat."""
        is_held = note.health is not None and note.health.trouble and note.health.held_until_us
        with self._store.write(durable=bool(note.prices or is_held)) as connection:
            for number, answered_s in note.settled.items():
                counted = spent.c.request == number, spent.c.counted_us > _us(answered_s)
                connection.execute(sa.update(spent).where(*counted).values(counted_us=_us(answered_s)))
            if note.sightings:
                _keep_sightings(connection, note.sightings)
            if note.health is not None:
                connection.execute(sa.update(health).values(**note.health._asdict()))
            return self._add(connection, note.prices) if note.prices else []

    def shift(self, holder: str, seconds: float) -> None:
        """The clock was set by so much: what was spent, and seen, was as long ago as before.

        Raises:
            Deposed: another polls now.
        """
        by_us = _us(seconds)
        with self._store.write() as connection:
            if connection.execute(sa.select(polling.c.holder).with_for_update()).scalar_one() != holder:
                raise Deposed
            connection.execute(
                sa.update(spent).values(
                    sent_us=spent.c.sent_us + by_us, counted_us=spent.c.counted_us + by_us
                )
            )
            connection.execute(
                sa.update(sightings).values(
                    after_us=sightings.c.after_us + by_us, by_us=sightings.c.by_us + by_us
                )
            )
            connection.execute(sa.update(polling).values(until_us=polling.c.until_us + by_us))
            connection.execute(sa.update(health).values(held_until_us=health.c.held_until_us + by_us))

    def day(self, *, from_s: int, before_s: int) -> tuple[int, list[KnownPrice]]:
        """The last ``price_seq``, and the newest price of each hour that starts in a span."""
        within = prices.c.delivery_start_s >= from_s, prices.c.delivery_start_s < before_s
        newest = (
            sa.select(prices.c.delivery_start_s, sa.func.max(prices.c.last_update_us).label("newest_us"))
            .where(*within)
            .group_by(prices.c.delivery_start_s)
            .subquery()
        )
        query = (
            sa.select(prices)
            .join(
                newest,
                (prices.c.delivery_start_s == newest.c.delivery_start_s)
                & (prices.c.last_update_us == newest.c.newest_us),
            )
            .order_by(prices.c.delivery_start_s)
        )
        with self._store.read() as connection:
            last_seq = connection.execute(sa.select(price_counter.c.last_price_seq)).scalar_one()
            return int(last_seq), [KnownPrice(*row) for row in connection.execute(query)]

    def history(self, *, start_s: int, minutes: int) -> list[KnownPrice]:
        """Every value of one period, oldest first."""
        query = sa.select(prices).where(
            prices.c.delivery_start_s == start_s, prices.c.delivery_minutes == minutes
        )
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(prices.c.last_update_us))
            return [KnownPrice(*row) for row in rows]

    def facts(self, *, now_s: float, starts_s: Sequence[int]) -> Facts:
        """How it goes, with the newest stamps of these hours."""
        with self._store.read() as connection:
            stamps = _stamps_us(connection, in_values(prices.c.delivery_start_s, starts_s))
            return Facts(
                _spent(connection, now_s), max(stamps.values(), default=0), stamps, _health(connection)
            )

    def _add(self, connection: sa.Connection, found: Sequence[NewPrice]) -> list[KnownPrice]:
        last_seq = int(
            connection.execute(sa.select(price_counter.c.last_price_seq).with_for_update()).scalar_one()
        )
        starts = [price.delivery_start_s for price in found]
        newest_us = _stamps_us(connection, in_values(prices.c.delivery_start_s, starts))
        added: list[KnownPrice] = []
        for price in sorted(found, key=lambda each: (each.last_update_us, each.delivery_start_s)):
            if price.last_update_us > newest_us.get(price.delivery_start_s, -1):
                newest_us[price.delivery_start_s] = price.last_update_us
                added.append(_known(price, last_seq + len(added) + 1))
        if added:
            connection.execute(sa.insert(prices), [price._asdict() for price in added])
            connection.execute(sa.update(price_counter).values(last_price_seq=added[-1].price_seq))
            outbox.enqueue(connection, self._announce(added))
        return added


def _known(price: NewPrice, seq: int) -> KnownPrice:
    return KnownPrice(
        price_seq=seq,
        area=AREA,
        delivery_start_s=price.delivery_start_s,
        delivery_minutes=HOUR_MINUTES,
        value_eur_per_mwh=price.value_eur_per_mwh,
        last_update_us=price.last_update_us,
        fetched_time_us=price.fetched_time_us,
        cycle_start_s=cycle_start_s(price.last_update_us),
    )


def _may_lead(connection: sa.Connection, holder: str, now_s: float, *, lock: bool = False) -> bool:
    query = sa.select(polling)
    lease = connection.execute(query.with_for_update() if lock else query).one()
    return lease.holder in {holder, ""} or lease.until_us <= _us(now_s)


def _spent(connection: sa.Connection, now_s: float) -> dict[int, float]:
    query = sa.select(spent.c.request, spent.c.counted_us).where(spent.c.counted_us > _us(now_s - LONGEST_S))
    return {row.request: row.counted_us / _US for row in connection.execute(query)}


def _stamps_us(connection: sa.Connection, where: sa.ColumnElement[bool]) -> dict[int, int]:
    query = (
        sa.select(prices.c.delivery_start_s, sa.func.max(prices.c.last_update_us))
        .where(where)
        .group_by(prices.c.delivery_start_s)
    )
    return {int(start): int(stamp) for start, stamp in connection.execute(query)}


def _health(connection: sa.Connection) -> Health:
    row = connection.execute(sa.select(health)).one()
    return Health(row.last_success_us, row.trouble, row.trouble_since_us, row.held_until_us)


def _keep_sightings(connection: sa.Connection, found: Sequence[Sighting]) -> None:
    rows = [
        {"stamp_us": _us(seen.stamp_s), "after_us": _us(seen.after_s), "by_us": _us(seen.by_s)}
        for seen in found
    ]
    stamps = [row["stamp_us"] for row in rows]
    connection.execute(sa.delete(sightings).where(in_values(sightings.c.stamp_us, stamps)))
    connection.execute(sa.insert(sightings), rows)
    oldest = (
        sa.select(sightings.c.stamp_us).order_by(sightings.c.stamp_us.desc()).offset(KEEP_SIGHTINGS).limit(1)
    )
    limit = connection.execute(oldest).scalar()
    if limit is not None:
        connection.execute(sa.delete(sightings).where(sightings.c.stamp_us <= limit))


def _us(seconds: float) -> int:
    return round(seconds * _US)
