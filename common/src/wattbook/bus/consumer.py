"""A thread that takes messages from the bus and hands them to a use case, until it worked.

The effect may happen and the acknowledgement be lost, so the same messages come again: ``handle`` must
be idempotent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from wattbook.bus import Bus, Delivery, Message, Subscription
from wattbook.bus.topology import Group
from wattbook.errors import Unavailable
from wattbook.loop import Loop
from wattbook.retry import Backoff, Retrying
from wattbook.telemetry.messages import handling, watch_group

_log = logging.getLogger(__name__)

WAIT_S = 0.25
STOP_S = 10.0


class _Stopped(Exception):
    """The consumer was stopped while it waited for what the handler needs."""


class Consumer(Loop):
    """Receives in batches, handles, acknowledges.

    If a batch fails, its messages are handled one at a time; those that fail are tried again and become
    dead letters in the end. A handler that raises Unavailable is asked again with the same messages, as
    long as it takes: what it needs is down, the messages are not at fault.
    """

    def __init__(
        self,
        subscription_factory: Callable[[], Subscription],
        handle: Callable[[Sequence[Message]], None],
        *,
        name: str,
        most: int = 100,
        backoff: Backoff | None = None,
        system: str = "",
        group: str = "",
    ) -> None:
        """Consume up to ``most`` messages at a time; ``name`` is for logs, bus and group for telemetry."""
        super().__init__(name, backoff=backoff, stop_s=STOP_S)
        self._subscribe = subscription_factory
        self._handle = handle
        self._most = most
        self._system = system
        self._group = group
        self._backoff = backoff or Backoff(first_s=0.1, most_s=5.0)

    @classmethod
    def of(
        cls,
        bus: Bus,
        group: Group,
        handle: Callable[[Sequence[Message]], None],
        *,
        name: str,
        most: int = 100,
    ) -> Consumer:
        """What ``group`` gets from ``bus``; metrics tell how much waits for it."""
        watch_group(bus, group.types, group=group.name)
        subscribe = partial(bus.subscribe, group.types, group=group.name)
        return cls(subscribe, handle, name=name, most=most, system=bus.system, group=group.name)

    def turn(self) -> None:
        """Consume until stopped, the batch in hand to its end. A bus that is not there yet is waited for."""
        subscription = self._subscribe()
        try:
            while not self.stopping.is_set():
                deliveries = subscription.receive(timeout_s=WAIT_S, most=self._most)
                self.retrying.worked()
                if deliveries:
                    self._work(subscription, deliveries)
        except _Stopped:
            pass
        finally:
            subscription.close()

    def failed(self, error: Exception) -> float:
        """Tell that the bus cannot be read."""
        delay_s = self.retrying.failed()
        log = _log.warning if isinstance(error, Unavailable) else _log.exception
        log(
            "the bus cannot be read now",
            extra={"consumer": self._name, "reason": str(error), "again_in_s": round(delay_s, 3)},
        )
        return delay_s

    def _work(self, subscription: Subscription, deliveries: Sequence[Delivery]) -> None:
        error = self._try(subscription, deliveries)
        if error is None:
            subscription.ack(deliveries)
        elif len(deliveries) == 1:
            subscription.retry(deliveries[0], f"{type(error).__name__}: {error}")
        else:
            for delivery in deliveries:
                subscription.hold([delivery])
                self._work(subscription, [delivery])

    def _try(self, subscription: Subscription, deliveries: Sequence[Delivery]) -> Exception | None:
        """Handle them, waiting while something needed is unavailable; the error that is theirs, if any."""
        messages = [delivery.message for delivery in deliveries]
        needed_down = Retrying(self._backoff)
        while True:
            with handling(messages, system=self._system, group=self._group) as work:
                try:
                    self._handle(messages)
                    return None
                except Unavailable as error:
                    work.failed("Unavailable")
                    delay_s = needed_down.failed()
                    _log.warning(
                        "handling waits for something unavailable",
                        extra={"consumer": self._name, "reason": str(error), "again_in_s": round(delay_s, 3)},
                    )
                except Exception as error:
                    work.failed(type(error).__qualname__)
                    _log.exception(
                        "handling failed", extra={"consumer": self._name, "messages": len(messages)}
                    )
                    return error
            if self.stopping.wait(delay_s):
                raise _Stopped
            subscription.hold(deliveries)
