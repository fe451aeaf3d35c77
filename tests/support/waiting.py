"""Waiting for something to become true, bounded, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooLate(AssertionError):
    """It did not become true in time."""


def wait_until(
    condition: Callable[[], T], *, timeout_s: float, what: str, every_s: float = 0.02, most_s: float = 0.5
) -> T:
    """The first truthy answer of ``condition``, asked again and again, ever less often up to ``most_s``.

    What it raises counts as "not yet" and is quoted if time runs out.

    Raises:
        TooLate: nothing truthy within ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = every_s
    last: object = None
    while True:
        try:
            found = condition()
        except Exception as error:
            last = error
        else:
            if found:
                return found
            last = found
        if time.monotonic() >= deadline:
            raise TooLate(f"not within {timeout_s:g} s: {what} (last: {last!r})")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, most_s)
