"""Transactions that the database chose to give way, run again."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from wattbook.errors import Unavailable
from wattbook.retry import Backoff, Retrying

ATTEMPTS = 4
# Of two transactions that cannot both go on, PostgreSQL ends one, and nothing of it is kept.
_GAVE_WAY = {"40001", "40P01"}  # serialization_failure, deadlock_detected

P = ParamSpec("P")
T = TypeVar("T")


def repeated(transact: Callable[P, T]) -> Callable[P, T]:
    """``transact``, which is one transaction and nothing that counts beside it, run again where it gave way.

    A few times, with short waits; then it raises Unavailable as ever.
    """

    @functools.wraps(transact)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        retrying = Retrying(Backoff(first_s=0.02, most_s=0.2))
        while True:
            try:
                return transact(*args, **kwargs)
            except Unavailable as error:
                delay_s = retrying.failed()
                if retrying.failures >= ATTEMPTS or not _gave_way(error):
                    raise
                time.sleep(delay_s)

    return run


def _gave_way(error: Unavailable) -> bool:
    driver_error = getattr(error.__cause__, "orig", None)
    return getattr(driver_error, "sqlstate", None) in _GAVE_WAY
