"""Port ranges that nobody uses."""

import itertools
import os
import random
import socket
from collections.abc import Iterator

OFFSETS = (0, 1, 2, 10, 11, 12, 13, 15, 16, 17, 18)
FIRST, LAST, STEP = 21000, 31000, 20  # below Linux's ephemeral range, so that no client socket sits there
MOST_WORKERS = 4


def _bases() -> Iterator[int]:
    """Bases in an order of their own, all of them before one comes again.

    A port that was handed out is often used only later, so it must not be found free a second time; and
    test processes that run side by side (pytest-xdist) have ranges of their own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % MOST_WORKERS
    bases = list(range(FIRST, LAST, STEP))[worker::MOST_WORKERS]
    random.Random(os.getpid()).shuffle(bases)
    return itertools.cycle(bases)


_next = _bases()


def free_port_base() -> int:
    """A base for ``wattbook up --port-base`` all of whose ports are free at this moment."""
    for base in itertools.islice(_next, (LAST - FIRST) // STEP):
        if all(_is_free(base + offset) for offset in OFFSETS):
            return base
    raise RuntimeError("no free port range on this machine")


def free_port() -> int:
    """One free port."""
    return free_port_base()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
