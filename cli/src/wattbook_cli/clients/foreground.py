"""Hearing Ctrl-C alone, where ``make`` would hear it too and end with a failure of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

_TERMINAL = "/dev/tty"


@contextmanager
def own_foreground(environment: Mapping[str, str]) -> Iterator[None]:
    """For the block: under ``make`` on a terminal, be the terminal's foreground group by ourselves.

    A terminal sends Ctrl-C to its whole foreground group, and GNU make then ends with 130 whatever its recipe
    ends with. Make itself stays the parent: what is sent to it by hand it passes on as ever. Ctrl-Z is
    not heard meanwhile, since nobody would notice that only this group stands still.
    """
    terminal = _terminal_of_makes_group() if "MAKELEVEL" in environment else None
    if terminal is None:
        yield
        return
    makes_group = os.getpgrp()
    heard = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGTTOU, signal.SIGTSTP)]
    os.setpgid(0, 0)
    with suppress(OSError):
        os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        with suppress(OSError):  # the terminal was closed, or make is gone
            os.tcsetpgrp(terminal, makes_group)
            os.setpgid(0, makes_group)
        os.close(terminal)
        for number, handler in heard:
            signal.signal(number, handler)


def _terminal_of_makes_group() -> int | None:
    """The terminal, where our group, led by another process, is its foreground."""
    try:
        terminal = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return None
    try:
        if os.getpgrp() != os.getpid() and os.tcgetpgrp(terminal) == os.getpgrp():
            return terminal
    except OSError:
        pass
    os.close(terminal)
    return None
