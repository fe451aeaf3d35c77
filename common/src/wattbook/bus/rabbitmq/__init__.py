"""The bus on RabbitMQ (``amqp://``, ``amqps://``; pika), for many machines.

One durable topic exchange; a quorum queue a group, and beside it a quorum queue of its dead letters. What
is published is confirmed by a majority of the nodes before :meth:`publish` returns; what a group's member
has not acknowledged comes again. A connection lives in a thread of its own, one for publishing and one
for receiving, since a broker that is short of memory stops reading what publishers send. A lost connection
is Unavailable to whoever uses it; the next use opens another one, to any of the hosts.
"""

from wattbook.bus.rabbitmq.bus import RabbitBus

__all__ = ["RabbitBus"]
