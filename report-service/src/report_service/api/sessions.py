"""Sessions in encrypted cookies: nothing to keep here, nothing for the browser to read.

A cookie is a Fernet token (AES-CBC with HMAC-SHA256) under a key derived from WATTBOOK_SESSION_KEY, so a
restart signs nobody out. Browsers keep cookies by host and not by port; the name carries the port, so that
two desks on one machine do not sign each other out.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import OrderedDict
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Flask, Request, Response, request
from flask.sessions import SessionInterface, SessionMixin
from wattbook.auth.revocations import Session as AuthSession

from report_service.domain.people import Person, SignedIn, Tokens

MOST_REMEMBERED = 512
LONGEST_COOKIE = 4000
_SIGNED_IN = "signed_in"


def derived_key(secret: str, purpose: str) -> bytes:
    """A key for one purpose from the installation's secret."""
    return HKDF(SHA256(), 32, salt=None, info=f"wattbook {purpose}".encode()).derive(secret.encode())


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
        name, roles, trader_id, access, refresh, expires_s, since_s, seen_s, *of_session = kept
        session = AuthSession(*of_session) if of_session else None  # of an older release
        tokens = Tokens(access, refresh, expires_s, session)
        return SignedIn(Person(name, tuple(roles), trader_id), tokens, since_s, seen_s)

    @signed_in.setter
    def signed_in(self, value: SignedIn) -> None:
        person, tokens = value.person, value.tokens
        self[_SIGNED_IN] = [
            *(person.name, person.roles, person.trader_id),
            *(tokens.access, tokens.refresh, tokens.expires_s),
            *(value.since_s, value.seen_s),
            *((tokens.session.id, tokens.session.counter) if tokens.session else ()),
        ]


class EncryptedSessions(SessionInterface):
    """Reads and writes the cookie; what was decrypted is remembered by the cookie's text."""

    def __init__(self, secret: str, *, cookie: str, secure: bool, longest_s: int) -> None:
        """Keep sessions in ``cookie``, for at most ``longest_s``; ``secure`` always, or only over HTTPS."""
        self._fernet = Fernet(base64.urlsafe_b64encode(derived_key(secret, "session cookie")))
        self._cookie = cookie
        self._secure = secure
        self._longest_s = longest_s
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def open_session(self, app: Flask, asked: Request) -> Session:  # type: ignore[override]
        """The session of a request; an empty one where there is none, or none of ours."""
        text = asked.cookies.get(self._cookie)
        return Session(self._decrypted(text)) if text else Session()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send the cookie where the session changed."""
        if not isinstance(session, Session) or not session.modified:
            return
        secure = self._secure or request.is_secure
        options: dict[str, Any] = {"secure": secure, "httponly": True, "samesite": "Lax", "path": "/"}
        if not session:
            response.delete_cookie(self._cookie, **options)
            return
        text = self._fernet.encrypt(json.dumps(session, separators=(",", ":")).encode()).decode()
        if len(text) > LONGEST_COOKIE:
            raise ValueError("the session does not fit into a cookie")
        response.set_cookie(self._cookie, text, max_age=self._longest_s, **options)

    def _decrypted(self, text: str) -> dict[str, Any]:
        with self._lock:
            known = self._known.get(text)
        if known is not None:
            return known
        try:
            found = json.loads(self._fernet.decrypt(text, ttl=self._longest_s))
        except (InvalidToken, ValueError):
            return {}
        with self._lock:
            self._known[text] = found
            if len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return dict(found)
