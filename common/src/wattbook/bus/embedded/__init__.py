"""The embedded bus: an append-only log in one SQLite file, shared by the processes of one machine.

``log`` holds the messages; a group's place in it is ``groups.position``, and ``pending`` holds what a
group was handed and has not acknowledged. Publishing waits for the disk; places and acknowledgements need
not: losing the last of them in a power cut only delivers again. Readers are woken by a UDP datagram on
loopback and look for themselves every 100 ms, so a lost one costs nothing.
"""

from wattbook.bus.embedded.bus import EmbeddedBus

__all__ = ["EmbeddedBus"]
