"""How loudly a failure that is tried again is told: a start or a restart elsewhere is worth no warning."""

from __future__ import annotations

import logging

from wattbook.retry import Retrying

LOUD_AFTER = 5  # failures in a row, some seconds


def failed(log: logging.Logger, what: str, retrying: Retrying, reason: str) -> float:
    """Count a failure and tell it, once as a warning; the seconds to wait before the next try."""
    wait_s = retrying.failed()
    level = logging.WARNING if retrying.failures == LOUD_AFTER else logging.DEBUG
    log.log(level, "%s, retrying", what, extra={"reason": reason})
    return wait_s


def worked(log: logging.Logger, what: str, retrying: Retrying) -> None:
    """It works; tell it where the failures were told."""
    if retrying.failures >= LOUD_AFTER:
        log.info("%s", what)
    retrying.worked()
