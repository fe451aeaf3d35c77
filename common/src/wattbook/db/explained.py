"""What went wrong in a store, in the same words on every engine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from wattbook.errors import Unavailable

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """What an engine's module knows of its driver's errors."""

    def reason_of(self, error: BaseException | None) -> str | None:
        """Why the store cannot work now; None where the caller is at fault."""
        ...

    def is_reader_writing(self, error: BaseException | None) -> bool:
        """Whether a reading connection was asked to write, which is the caller's fault."""
        ...

    def detail_of(self, error: BaseException | None) -> str:
        """The driver's words for the log, without addresses of people or passwords."""
        ...


@contextmanager
def explained(name: str, doing: str, engine: Engine) -> Iterator[None]:
    """Turn what the store ``name`` raises while ``doing`` (``read``, ``write``) into Unavailable.

    Raises:
        Unavailable: the store cannot work now; the message says why.
    """
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(f"the store {name} is busy; try again") from error
    except DBAPIError as error:
        reason = engine.reason_of(error.orig)
        if reason is None or (doing == "read" and engine.is_reader_writing(error.orig)):
            raise
        detail = engine.detail_of(error.orig)
        _log.warning(
            "the store failed", extra={"store": name, "doing": doing, "reason": reason, "error": detail}
        )
        raise Unavailable(f"the store cannot {doing} now: {reason}; try again") from error
