"""Who keeps what: the groups of Wattbook and the events that each must get, as services.toml says.

A publisher that is told of a group makes it known to the bus, so that nothing is said before its hearer is
there to be, and on RabbitMQ treats a message that no queue of it takes as not published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wattbook.services import services

TRADE_CONFIRMED, TRADE_REFUSED, TRADE_BOOKED = "trade.confirmed", "trade.refused", "trade.booked"
PRICE_UPDATED, CASH_CHANGED = "price.updated", "cash.changed"

_PATTERN = re.compile(r"(?:\*|[a-z0-9_-]+)(?:\.(?:\*|[a-z0-9_-]+))*")


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group and the types of events it gets.

    ``ordered``: only one member gets messages at a time, the others stand by. ``one_each``: a pattern of
    names, one group a running copy of a service; such a one is made known by that copy. ``optional``: its
    service may be left out of a desk on one machine, where its first member makes it known: nobody else would
    ever take what is kept for it.
    """

    name: str
    types: tuple[str, ...]
    ordered: bool = False
    one_each: bool = False
    optional: bool = False

    def named(self, name: str) -> Group:
        """One of the groups that this pattern stands for."""
        return Group(name, self.types, self.ordered)


def group_of(service: str) -> Group:
    """The group of a service that has a store to keep what it hears; one without reads the bus's tail.

    Where each copy of a service has a store of its own, each has a group of its own.
    """
    entry = services()[service]
    one_each = entry.always_embedded
    name = f"{service}.*" if one_each else service
    return Group(name, entry.hears, ordered=one_each, one_each=one_each, optional=entry.optional)


GROUPS = tuple(group_of(each.name) for each in services().values() if each.hears and each.store)
TRADE_SERVICE, PRICING_SERVICE = group_of("trade-service"), group_of("pricing-service")
# One a spool: what the owner of trades refuses goes back to the spool that has its frame.
INGEST_SPOOLS = group_of("ingest-service")


def ingest_spool(spool: str) -> Group:
    """The group of one ingest spool."""
    return INGEST_SPOOLS.named(f"ingest-service.{spool}")


def checked(types: Sequence[str]) -> tuple[str, ...]:
    """The patterns of message types, as they are.

    Raises:
        ValueError: a pattern is not dotted words of a-z, 0-9, _ and -, or there is none.
    """
    if not types or not all(_PATTERN.fullmatch(pattern) for pattern in types):
        raise ValueError(f"{list(types)} are not message types")
    return tuple(types)


def matcher(types: Sequence[str]) -> Callable[[str], bool]:
    """Whether a message's type is one of ``types``; ``*`` stands for one word. Raises ValueError."""
    patterns = [re.escape(pattern).replace(r"\*", r"[^.]+") for pattern in checked(types)]
    expression = re.compile("|".join(patterns))
    known: dict[str, bool] = {}

    def matches(type_: str) -> bool:
        found = known.get(type_)
        if found is None:
            found = known[type_] = expression.fullmatch(type_) is not None
        return found

    return matches
