"""The RabbitMQ engine of :class:`wattbook.bus.Bus`."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wattbook.bus import MAX_BODY_BYTES, DeadLetter, Delivery, Depths, Message, Subscription
from wattbook.bus.rabbitmq.address import Address
from wattbook.bus.rabbitmq.dead import DeadLetters
from wattbook.bus.rabbitmq.link import Channel, Link
from wattbook.bus.rabbitmq.places import DEAD_EXCHANGE, EXCHANGE, Places, queue_of
from wattbook.bus.rabbitmq.publisher import Publisher
from wattbook.bus.rabbitmq.subscriptions import GroupSubscription, TailSubscription
from wattbook.bus.rabbitmq.wire import ATTEMPTS, DIED_US, REASON, Outgoing, properties_of
from wattbook.bus.topology import Group, checked, matcher
from wattbook.clock import Clock, SystemClock, to_epoch_us
from wattbook.errors import InvalidInput, Unavailable
from wattbook.retry import Backoff

_log = logging.getLogger(__name__)

RETRY = Backoff(first_s=0.2, most_s=10.0)


class RabbitBus:
    """See :class:`wattbook.bus.Bus`. Nothing is connected until something is wanted of it.

    A message of a type that a known group is to get is mandatory: if no queue takes it, it counts as not
    published. Since some other queue may take it, the known groups' queues are also looked for every few
    seconds of publishing. One that only subscriptions without a group could hear may have no hearer now, and
    then goes nowhere, as on the embedded bus.
    """

    def __init__(
        self,
        address: Address,
        *,
        groups: Sequence[Group] = (),
        backoff: Backoff = RETRY,
        clock: Clock | None = None,
    ) -> None:
        """The bus at ``address``; ``groups`` are made known to it before anything is published."""
        self._address = address
        self._backoff = backoff
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._groups = {group.name: group for group in groups}
        self._must_be_kept = _matcher(self._groups)
        self._hidden: set[str] = set()
        self._closed = False
        self.system = "rabbitmq"
        name = _process_name()
        self._receiving = Link(address, f"{name} receiving")
        self._sending = Link(address, f"{name} publishing")
        self._publisher = Publisher(self._sending, self._make_known)

    def publish(self, messages: Sequence[Message]) -> None:
        """Durable, all of them, when this returns.

        Raises:
            Unavailable: not all were confirmed; some may have been, so send all of them again.
            InvalidInput: a body is over MAX_BODY_BYTES.
        """
        if any(len(message.body) > MAX_BODY_BYTES for message in messages):
            raise InvalidInput(f"a message is over {MAX_BODY_BYTES} bytes")
        self._ensure_open()
        kept = self._must_be_kept
        self._publisher.publish(
            [
                Outgoing(EXCHANGE, each.type, properties_of(each), each.body, mandatory=kept(each.type))
                for each in messages
            ]
        )

    def subscribe(self, types: Sequence[str], *, group: str | None) -> Subscription:
        """Messages of ``types`` (``trade.*``: one more word), for a group or (None) for this process."""
        types = checked(types)
        self._ensure_open()
        if group is None:
            self._make_known(self._receiving, only_exchanges=True)
        else:
            self._join(self._group(group, types))
        channel = self._receiving.channel()
        try:
            return self._subscription(channel, types, group)
        except BaseException:  # or a consumer that nobody asks would keep what it is sent
            channel.close()
            raise

    def dead_letters(self, *, group: str | None = None, most: int = 100) -> list[DeadLetter]:
        """Dead letters of a group, or of all that this process knows of, oldest first."""
        self._ensure_open()
        with self._lock:
            names = (
                [group] if group is not None else [g.name for g in self._groups.values() if not g.one_each]
            )
        dead = DeadLetters(self._receiving)
        found = [letter for name in names for letter in dead.of(name, most=most)]
        return sorted(found, key=lambda letter: letter.died_at)[:most]

    def replay(self, dead_letter: DeadLetter) -> None:
        """Hand a dead letter to its group again, as if for the first time.

        Raises:
            NotFound: it is gone, or another is just looking at it.
            InvalidInput: its envelope cannot be read.
        """
        self._ensure_open()
        DeadLetters(self._receiving).take(dead_letter, before=self._send_again)

    def depths(self, types: Sequence[str], *, group: str) -> Depths:
        """How much there is for ``group``; what was sent to its members does not count."""
        self._ensure_open()
        return Places(self._receiving).depths(group)

    def drop(self, dead_letter: DeadLetter) -> None:
        """Forget a dead letter. Raises NotFound: it is gone, or another is just looking at it."""
        self._ensure_open()
        DeadLetters(self._receiving).take(dead_letter, before=lambda _letter, _fault: None)

    def group_names(self) -> None:
        """None: AMQP does not tell which queues there are."""

    def declare(self, groups: Sequence[Group]) -> list[str]:
        """Make what these groups need and is missing, and bind their queues; the names of what was made."""
        self._ensure_open()
        named = [group for group in groups if not group.one_each]
        places = Places(self._receiving)
        made = places.make(named)
        for group in named:
            places.bind(group)
        return made

    def differences(self, groups: Sequence[Group]) -> list[str]:
        """A line for each thing of these groups that is missing or not as it must be.

        Which messages go to a queue is not among it: AMQP does not tell.
        """
        self._ensure_open()
        return Places(self._receiving).differences([group for group in groups if not group.one_each])

    def close(self) -> None:
        """Let go of connections and threads."""
        self._closed = True
        self._sending.close()
        self._receiving.close()

    def _subscription(self, channel: Channel, types: tuple[str, ...], group: str | None) -> Subscription:
        prefetch, backoff = self._address.prefetch, self._backoff
        if group is None:
            return TailSubscription(channel, types=types, prefetch=prefetch, backoff=backoff)
        return GroupSubscription(
            channel,
            queue_name=queue_of(group),
            types=types,
            prefetch=prefetch,
            backoff=backoff,
            bury=lambda delivery, reason: self._bury(delivery, group, reason),
        )

    def _make_known(self, link: Link, *, only_exchanges: bool = False) -> None:
        Places(link, hidden=self._hidden).make([] if only_exchanges else self._own_groups())

    def _own_groups(self) -> list[Group]:
        with self._lock:
            return [group for group in self._groups.values() if not group.one_each]

    def _group(self, name: str, types: tuple[str, ...]) -> Group:
        """What is declared of the group, with the types that it is subscribed for."""
        with self._lock:
            patterns = (g for g in self._groups.values() if g.one_each and matcher([g.name])(name))
            declared = self._groups.get(name) or next(patterns, None)
            group = Group(name, types, ordered=declared is not None and declared.ordered)
            self._groups[name] = group
            self._must_be_kept = _matcher(self._groups)
            return group

    def _join(self, group: Group) -> None:
        places = Places(self._receiving, hidden=self._hidden)
        if queue_of(group.name) not in places.make([group]):
            places.bind(group)

    def _bury(self, delivery: Delivery, group: str, reason: str) -> None:
        more = {
            ATTEMPTS: delivery.attempt,
            REASON: reason[:2_000],
            DIED_US: to_epoch_us(self._clock.now()),
        }
        message = delivery.message
        self._publisher.publish(
            [Outgoing(DEAD_EXCHANGE, group, properties_of(message, more), message.body, mandatory=True)]
        )
        _log.error(
            "a message became a dead letter",
            extra={"group": group, "id": message.id, "attempts": delivery.attempt, "reason": reason},
        )

    def _send_again(self, letter: DeadLetter, fault: str) -> None:
        if fault:
            raise InvalidInput(f"it would only come back, since {fault}: drop it, or publish it anew")
        properties = properties_of(letter.message)
        self._publisher.publish(
            [Outgoing("", queue_of(letter.group), properties, letter.message.body, mandatory=True)]
        )

    def _ensure_open(self) -> None:
        if self._closed:
            raise Unavailable("the bus is closed")


def _matcher(groups: dict[str, Group]) -> Any:
    types = [type_ for group in groups.values() for type_ in group.types]
    return matcher(types) if types else lambda _type: False


def _process_name() -> str:
    """What people find the connection by in the server's lists, like ``trade_service@host/123``."""
    program = Path(sys.argv[0] or "python")
    name = program.parent.name if program.stem in {"app", "__main__", "__init__"} else program.stem
    return f"{name}@{socket.gethostname()}/{os.getpid()}"
