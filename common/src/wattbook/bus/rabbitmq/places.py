"""The exchanges and queues of the bus: their names, what they must be like, making and checking them.

===================== ============================================================================
``wattbook``          topic exchange; the routing key is the message's type
``wattbook.dead``     direct exchange of dead letters; the routing key is the group
``wattbook.GROUP``    quorum queue of a group
``wattbook.dead.GROUP`` quorum queue of its dead letters
``wattbook.tail.…``   exclusive queue of a subscription without a group, gone with its connection
===================== ============================================================================

A queue that exists is used as it is: a service then needs no right to configure anything. ``wattbook bus
check`` finds differences, ``wattbook bus declare`` makes what is missing.

Looking for a thing is a passive declare. Until RabbitMQ 4.2 it needs no right; 4.3 refuses it to who has no
right to the thing at all, whether or not it is there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from wattbook.bus import Depths
from wattbook.bus.rabbitmq.link import (
    ACCESS_REFUSED,
    DIFFERENT,
    LOCKED,
    NOT_FOUND,
    Channel,
    ChannelClosed,
    Link,
)
from wattbook.bus.topology import Group

_log = logging.getLogger(__name__)

EXCHANGE, DEAD_EXCHANGE = "wattbook", "wattbook.dead"
QUEUE_PREFIX, DEAD_PREFIX, TAIL_PREFIX = "wattbook.", "wattbook.dead.", "wattbook.tail."
# A message that fails is counted by its consumer (MAX_ATTEMPTS). The broker counts how often one went back
# because its consumer died, closed or hung, for all that it held at once: hence the patience, the same as
# the embedded bus has. See subscriptions.Suspects for how the culprit is told from its neighbours.
DELIVERY_LIMIT = 20
NO_LIMIT = 1_000_000_000  # RabbitMQ 4 has one by default, and looking at dead letters counts as returning

Ask = Callable[[Any, Callable[[Any], None]], None]


def queue_of(group: str) -> str:
    """The queue of a group."""
    return QUEUE_PREFIX + group


def dead_queue_of(group: str) -> str:
    """The queue of a group's dead letters."""
    return DEAD_PREFIX + group


def arguments_of(group: Group) -> dict[str, Any]:
    """What a group's queue is declared with.

    Dead letters move at least once, which RabbitMQ does only where a full queue refuses.
    """
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": group.name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    if group.ordered:
        arguments["x-single-active-consumer"] = True
    return arguments


DEAD_ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": NO_LIMIT}


def _exchange(name: str, kind: str, *, passive: bool) -> Ask:
    return lambda raw, done: raw.exchange_declare(name, kind, passive=passive, durable=True, callback=done)


def _queue(name: str, arguments: dict[str, Any], *, passive: bool) -> Ask:
    return lambda raw, done: raw.queue_declare(
        name, passive=passive, durable=True, arguments=arguments, callback=done
    )


def _bind(queue: str, exchange: str, key: str) -> Ask:
    return lambda raw, done: raw.queue_bind(queue, exchange, routing_key=key, callback=done)


EXCHANGES = ((EXCHANGE, "topic"), (DEAD_EXCHANGE, "direct"))


class Places:
    """Makes what is missing and says what is not as it must be, over one link."""

    def __init__(self, link: Link, *, hidden: set[str] | None = None) -> None:
        """Nothing is asked yet. ``hidden`` keeps the names that are not ours to see, for the next one."""
        self._link = link
        self._hidden = set() if hidden is None else hidden
        self._channel: Channel | None = None

    def make(self, groups: Iterable[Group]) -> list[str]:
        """Make the exchanges and the groups' queues where they are missing; the names of what was made.

        What is not ours to see counts as there, and is not looked for again: the server logs each refusal.

        Raises:
            ChannelClosed: it is not allowed.
            Unavailable: the server cannot be asked.
        """
        made: list[str] = []
        try:
            for name, kind in EXCHANGES:
                if self._missing(name, _exchange(name, kind, passive=True)):
                    self._create(name, _exchange(name, kind, passive=False))
                    made.append(name)
            for group in groups:
                made += self._make_group(group)
        finally:
            self.close()
        if made:
            _log.info("made on the bus", extra={"names": made})
        return made

    def differences(self, groups: Iterable[Group]) -> list[str]:
        """A line for each thing that is missing or not as it must be. Raises like :meth:`make`."""
        wanted: list[tuple[str, Ask, Ask]] = [
            (f"exchange {name}", _exchange(name, kind, passive=True), _exchange(name, kind, passive=False))
            for name, kind in EXCHANGES
        ]
        for group in groups:
            for name, arguments in (
                (queue_of(group.name), arguments_of(group)),
                (dead_queue_of(group.name), DEAD_ARGUMENTS),
            ):
                ask = _queue(name, arguments, passive=True), _queue(name, arguments, passive=False)
                wanted.append((f"queue {name}", *ask))
        try:
            return [line for what, *ask in wanted if (line := self._difference(what, *ask))]
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the channel."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _make_group(self, group: Group) -> list[str]:
        made = []
        dead, own = dead_queue_of(group.name), queue_of(group.name)
        if self._missing(dead, _queue(dead, DEAD_ARGUMENTS, passive=True)):
            self._create(dead, _queue(dead, DEAD_ARGUMENTS, passive=False))
            self._do(_bind(dead, DEAD_EXCHANGE, group.name))
            made.append(dead)
        if self._missing(own, _queue(own, arguments_of(group), passive=True)):
            self._create(own, _queue(own, arguments_of(group), passive=False))
            made.append(own)
            for type_ in group.types:
                self._do(_bind(own, EXCHANGE, type_))
        return made

    def _create(self, name: str, ask: Ask) -> None:
        try:
            self._do(ask)
        except ChannelClosed as refused:
            if refused.reply_code != ACCESS_REFUSED:
                raise
            reason = f"{name} is missing on the bus and not ours to make: wattbook bus declare does"
            raise ChannelClosed(reason, ACCESS_REFUSED) from refused

    def depths(self, group: str) -> Depths:
        """How many messages are ready for a group, and how many dead letters; 0 of what is not there."""
        try:
            return Depths(self._ready(queue_of(group)), self._ready(dead_queue_of(group)))
        finally:
            self.close()

    def bind(self, group: Group) -> None:
        """Have the group's queue get its types, also where the queue was made for other ones."""
        try:
            for type_ in group.types:
                self._do(_bind(queue_of(group.name), EXCHANGE, type_))
        finally:
            self.close()

    def _difference(self, what: str, passive: Ask, active: Ask) -> str:
        refusal = self._refusal(passive)
        if refusal is not None and refusal.reply_code == NOT_FOUND:
            return f"{what} is missing"
        refusal = refusal or self._refusal(active)
        return f"{what} is different: {refusal.message}" if refusal is not None else ""

    def _ready(self, name: str) -> int:
        try:
            return int(self._do(_queue(name, {}, passive=True)).method.message_count)
        except ChannelClosed as refused:
            if refused.reply_code != NOT_FOUND:
                raise
            return 0

    def _missing(self, name: str, ask: Ask) -> bool:
        if name in self._hidden:
            return False
        try:
            self._do(ask)
        except ChannelClosed as refused:
            if refused.reply_code not in {NOT_FOUND, ACCESS_REFUSED}:
                raise
            if refused.reply_code == ACCESS_REFUSED:
                self._hidden.add(name)
            return refused.reply_code == NOT_FOUND
        return False

    def _refusal(self, ask: Ask) -> ChannelClosed | None:
        try:
            self._do(ask)
        except ChannelClosed as refused:
            if refused.reply_code not in {NOT_FOUND, LOCKED, DIFFERENT}:
                raise
            return refused
        return None

    def _do(self, ask: Ask) -> Any:
        if self._channel is None or self._channel.closed is not None:
            self._channel = self._link.channel()
        return self._channel.ask(ask)
