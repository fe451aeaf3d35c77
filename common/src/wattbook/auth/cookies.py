"""Sessions in encrypted cookies: nothing to keep here, nothing for the browser to read.

A cookie is a Fernet token (AES-CBC with HMAC-SHA256) under a key derived from the installation's secret, so a
restart signs nobody out. Free of any web framework.
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

from wattbook.auth.people import Person, SignedIn, Tokens
from wattbook.auth.revocations import Session

MOST_REMEMBERED = 512
LONGEST_COOKIE = 4000


def derived_key(secret: str, purpose: str) -> bytes:
    """A key for one purpose from the installation's secret."""
    return HKDF(SHA256(), 32, salt=None, info=f"wattbook {purpose}".encode()).derive(secret.encode())


class SealedCookies:
    """Encrypts and decrypts; what was decrypted is remembered by the cookie's text. Thread-safe."""

    def __init__(self, secret: str, *, longest_s: int) -> None:
        """Cookies hold for at most ``longest_s``."""
        self._fernet = Fernet(base64.urlsafe_b64encode(derived_key(secret, "session cookie")))
        self._longest_s = longest_s
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def sealed(self, content: dict[str, Any]) -> str:
        """The cookie's text.

        Raises:
            ValueError: it is longer than browsers keep.
        """
        text = self._fernet.encrypt(json.dumps(content, separators=(",", ":")).encode()).decode()
        if len(text) > LONGEST_COOKIE:
            raise ValueError("the session does not fit into a cookie")
        return text

    def opened(self, text: str) -> dict[str, Any]:
        """What is in a cookie; nothing where it is none of ours, or too old."""
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


def packed(signed_in: SignedIn) -> list[Any]:
    """A person's session for a cookie."""
    person, tokens = signed_in.person, signed_in.tokens
    return [
        *(person.name, person.roles, person.trader_id),
        *(tokens.access, tokens.refresh, tokens.expires_s),
        *(signed_in.since_s, signed_in.seen_s),
        *((tokens.session.id, tokens.session.counter) if tokens.session else ()),
    ]


def unpacked(kept: list[Any]) -> SignedIn:
    """What :func:`packed` made of a session, by this release or the one before, which named none."""
    name, roles, trader_id, access, refresh, expires_s, since_s, seen_s, *of_session = kept
    session = Session(*of_session) if of_session else None
    tokens = Tokens(access, refresh, expires_s, session)
    return SignedIn(Person(name, tuple(roles), trader_id), tokens, since_s, seen_s)
