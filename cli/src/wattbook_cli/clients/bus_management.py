"""What AMQP does not tell of a RabbitMQ and its management does: the queues, and what goes to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx
from wattbook.bus.rabbitmq.address import Address
from wattbook.bus.rabbitmq.places import DEAD_EXCHANGE, DEAD_PREFIX, EXCHANGE, QUEUE_PREFIX, TAIL_PREFIX
from wattbook.bus.topology import Group

from wattbook_cli.domain.stops import Stop, TryLater

TIMEOUT_S = 20.0


class BusManagement:
    """The management API at ``url``, asked as the user of the bus's ``address``."""

    def __init__(self, url: str, address: Address) -> None:
        """Nothing is asked yet."""
        self._vhost = quote(address.vhost, safe="")
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            auth=(address.user, address.password),
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def groups(self) -> list[str]:
        """The names of all groups that have a queue."""
        names = [str(queue["name"]) for queue in self._get(f"/api/queues/{self._vhost}?columns=name")]
        own = [name for name in names if name.startswith(QUEUE_PREFIX)]
        return [
            name.removeprefix(QUEUE_PREFIX) for name in own if not name.startswith((DEAD_PREFIX, TAIL_PREFIX))
        ]

    def wrong_bindings(self, groups: Sequence[Group]) -> list[str]:
        """A line for each binding of these groups that is missing, or that nobody declared."""
        found = {
            (binding["source"], binding["destination"], binding["routing_key"])
            for binding in self._get(f"/api/bindings/{self._vhost}")
            if binding["source"] in {EXCHANGE, DEAD_EXCHANGE}
        }
        wanted = {(EXCHANGE, QUEUE_PREFIX + group.name, type_) for group in groups for type_ in group.types}
        wanted |= {(DEAD_EXCHANGE, DEAD_PREFIX + group.name, group.name) for group in groups}
        ours = {queue for _, queue, _ in wanted}
        missing = [f"queue {queue} does not get {key!r} of {source}" for source, queue, key in wanted - found]
        more = [
            f"queue {queue} gets {key!r} of {source}, which nobody declared"
            for source, queue, key in found - wanted
            if queue in ours
        ]
        return sorted(missing) + sorted(more)

    def _get(self, path: str) -> Any:
        try:
            answer = self._http.get(path)
        except httpx.HTTPError as error:
            raise TryLater(f"the bus's management API cannot be reached: {type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            raise Stop(f"the bus's management API answers {answer.status_code} {answer.reason_phrase}")
        return answer.json()
