"""Port ranges that nobody uses."""

import os
import random
import socket

OFFSETS = (0, 1, 2, 10, 11, 12, 13, 15, 16, 17, 18)
FIRST, LAST, STEP = 21000, 31000, 20  # below Linux's ephemeral range, so that no client socket sits there
MOST_WORKERS = 8

_chooser = random.Random(os.getpid())


def free_port_base() -> int:
    """A base for ``wattbook up --port-base`` all of whose ports are free at this moment.

    Test processes that run side by side (pytest-xdist) choose from ranges of their own: between finding
    a port free and using it another one could take it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % MOST_WORKERS
    candidates = list(range(FIRST, LAST, STEP))[worker::MOST_WORKERS]
    _chooser.shuffle(candidates)
    for base in candidates:
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
