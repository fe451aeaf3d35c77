"""Flask's session in an encrypted cookie.

Browsers keep cookies by host and not by port; the name carries the port, so that two desks on one machine do
not sign each other out.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Request, Response, request
from flask.sessions import SessionInterface, SessionMixin
from wattbook.auth.cookies import SealedCookies, packed, unpacked
from wattbook.auth.people import SignedIn

_SIGNED_IN = "signed_in"


class Session(dict[str, Any], SessionMixin):
    """A request's session; knows whether it was changed."""

    modified = False

    def __setitem__(self, key: str, value: Any) -> None:
        self.modified = True
        super().__setitem__(key, value)

    def clear(self) -> None:
        """Forget everything."""
        self.modified = True
        super().clear()

    @property
    def signed_in(self) -> SignedIn | None:
        """Whose session it is; None before sign-in."""
        kept = self.get(_SIGNED_IN)
        if kept is None:
            return None
        return unpacked(kept)

    @signed_in.setter
    def signed_in(self, value: SignedIn) -> None:
        self[_SIGNED_IN] = packed(value)


class EncryptedSessions(SessionInterface):
    """Reads and writes the cookie."""

    def __init__(self, secret: str, *, cookie: str, secure: bool, longest_s: int) -> None:
        """Keep sessions in ``cookie``, for at most ``longest_s``; ``secure`` always, or only over HTTPS."""
        self._cookies = SealedCookies(secret, longest_s=longest_s)
        self._cookie = cookie
        self._secure = secure
        self._longest_s = longest_s

    def open_session(self, app: Flask, asked: Request) -> Session:  # type: ignore[override]
        """The session of a request; an empty one where there is none, or none of ours."""
        text = asked.cookies.get(self._cookie)
        return Session(self._cookies.opened(text)) if text else Session()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send the cookie where the session changed."""
        if not isinstance(session, Session) or not session.modified:
            return
        secure = self._secure or request.is_secure
        options: dict[str, Any] = {"secure": secure, "httponly": True, "samesite": "Lax", "path": "/"}
        if not session:
            response.delete_cookie(self._cookie, **options)
            return
        response.set_cookie(self._cookie, self._cookies.sealed(session), max_age=self._longest_s, **options)
