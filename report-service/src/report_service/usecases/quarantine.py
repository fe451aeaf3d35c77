"""The desk decides over what was set aside; in its own name, through the gateway, which knows who may."""

from __future__ import annotations

from typing import Protocol

from wattbook.auth.people import SignedIn, Tokens
from wattbook.errors import Forbidden, InvalidInput

from report_service.domain.quarantine import Quarantined, QuarantinePage

LONGEST_REASON = 200


class QuarantineOwner(Protocol):
    """Where the quarantine is asked for; see :class:`report_service.clients.desk.QuarantineDesk`."""

    def page(self, tokens: Tokens, *, state: str, before: str) -> QuarantinePage: ...  # noqa: D102

    def show(self, tokens: Tokens, number: int) -> Quarantined: ...  # noqa: D102

    def replay(self, tokens: Tokens, number: int, *, trader_id: str = "") -> Quarantined: ...  # noqa: D102

    def drop(self, tokens: Tokens, number: int, *, reason: str) -> Quarantined: ...  # noqa: D102


class Quarantine:
    """Every method raises Forbidden for all but the desk, and Unavailable where the quarantine is away."""

    def __init__(self, owner: QuarantineOwner) -> None:
        """Ask ``owner``."""
        self._owner = owner

    def page(self, asker: SignedIn, *, state: str, before: str) -> QuarantinePage:
        """A page, newest first; ``state`` ``""`` means all, ``before`` ``""`` from the newest."""
        return self._owner.page(self._tokens(asker), state=state, before=before)

    def show(self, asker: SignedIn, number: int) -> Quarantined:
        """One with its frame.

        Raises:
            NotFound: there is none of that number.
        """
        return self._owner.show(self._tokens(asker), number)

    def replay(self, asker: SignedIn, number: int, *, trader_id: str = "") -> Quarantined:
        """Have it read and booked again; it stays open, with the new reason, where that fails again.

        Raises:
            NotFound: there is none of that number. Conflict: it was dropped, or its frame is gone.
            InvalidInput: trades are booked for no trader of that name.
        """
        return self._owner.replay(self._tokens(asker), number, trader_id=trader_id)

    def drop(self, asker: SignedIn, number: int, *, reason: str) -> Quarantined:
        """Have it set aside for good.

        Raises:
            InvalidInput: without a reason, or with too long a one.
            NotFound: there is none of that number.
        """
        tokens, reason = self._tokens(asker), reason.strip()
        if not reason or len(reason) > LONGEST_REASON:
            raise InvalidInput(f"Say why, in up to {LONGEST_REASON} characters")
        return self._owner.drop(tokens, number, reason=reason)

    @staticmethod
    def _tokens(asker: SignedIn) -> Tokens:
        if not asker.person.is_desk:
            raise Forbidden("The quarantine is for desk users. How many wait is on the page Feed.")
        return asker.tokens
