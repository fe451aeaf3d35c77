"""What ended sessions, in the order in which it happened.

A *session* is all that follows from one sign-in: refresh tokens, each in the place of the one before, and
the access tokens that come with them. Each carries the session's id and its user's *session counter*, a
number that rises whenever nothing that was given out before may count any more: a new password, other
roles, being disabled. So whether a token counts does not depend on when it was written, or by whose clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """What a token says of the session that it is of."""

    id: str
    counter: int


@dataclass(frozen=True, slots=True)
class Revocation:
    """One session of a user is over; or, where ``session_id`` is None, all whose counter is lower."""

    version: int
    user: str
    session_id: str | None
    session_counter: int
