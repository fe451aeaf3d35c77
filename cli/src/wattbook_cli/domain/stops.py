"""Why a command ends without having done what was asked."""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_ROWS_REFUSED = 2
EXIT_NOT_RUNNING = 3
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells do


class Stop(Exception):
    """One line for a person, saying what to do; the command ends with ``exit_code``."""

    def __init__(self, message: str, *, exit_code: int = EXIT_FAILED, request_id: str = "") -> None:
        """Keep the line; ``request_id`` finds the request in the gateway's log."""
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.request_id = request_id


class SignInNeeded(Stop):
    """Nobody is signed in, or the gateway does not take the sign-in."""


class TryLater(Stop):
    """Wattbook cannot be reached or cannot answer at the moment; asking again later may help."""
