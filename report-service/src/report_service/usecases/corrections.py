"""What the exchange corrected, and the desk's choice where it stated a trade twice; through the gateway."""

from __future__ import annotations

from typing import Protocol

from wattbook.auth.people import SignedIn, Tokens
from wattbook.errors import Forbidden

from report_service.domain.corrections import CorrectionPage, DifferingPage


class CorrectionsOwner(Protocol):
    """Where corrections are asked for; see :class:`report_service.clients.corrections.CorrectionsDesk`."""

    def page(self, tokens: Tokens, *, before: int) -> CorrectionPage: ...  # noqa: D102

    def differing(self, tokens: Tokens, *, trade_id: str, after: int) -> DifferingPage: ...  # noqa: D102

    def accept(self, tokens: Tokens, content: str) -> None: ...  # noqa: D102


class Corrections:
    """Every method raises Unavailable where the gateway is away."""

    def __init__(self, owner: CorrectionsOwner) -> None:
        """Ask ``owner``."""
        self._owner = owner

    def page(self, asker: SignedIn, *, before: int) -> CorrectionPage:
        """A page, newest first; ``before`` 0 from the newest. Of each content what is theirs to see."""
        return self._owner.page(asker.tokens, before=before)

    def differing(self, asker: SignedIn, *, trade_id: str, after: int) -> DifferingPage:
        """A page of what waits for somebody to decide, for the desk; ``trade_id`` ``""`` means all."""
        if not asker.person.is_desk:
            return DifferingPage(())
        return self._owner.differing(asker.tokens, trade_id=trade_id, after=after)

    def accept(self, asker: SignedIn, content: str) -> None:
        """Let a content hold that the exchange has stated.

        Raises:
            Forbidden: the asker is not of the desk.
            Conflict: the exchange has not stated it.
            InvalidInput: it is no trade.
        """
        if not asker.person.is_desk:
            raise Forbidden("Only the desk decides what holds.")
        self._owner.accept(asker.tokens, content)
