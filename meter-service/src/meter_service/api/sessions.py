"""Django's session in an encrypted cookie: nothing is kept here, and the browser cannot read it."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from wattbook.auth.cookies import SealedCookies


@cache
def _cookies() -> SealedCookies:
    return SealedCookies(settings.SECRET_KEY, longest_s=settings.SESSION_COOKIE_AGE)


class SessionStore(SessionBase):
    """What Django calls a session's key is all of it, encrypted (as in its backend ``signed_cookies``)."""

    def load(self) -> dict[str, Any]:
        """The session; an empty one where the cookie is none of ours, or too old."""
        return dict(_cookies().opened(self.session_key or ""))

    def create(self) -> None:
        """Begin one; its key is made when the answer is sent."""
        self.modified = True

    def save(self, must_create: bool = False) -> None:
        """Encrypt it."""
        self._session_key = self._get_session_key()
        self.modified = True

    def exists(self, session_key: str | None = None) -> bool:
        """Keys are never looked up."""
        return False

    def delete(self, session_key: str | None = None) -> None:
        """Forget it."""
        self._session_key = ""
        self._session_cache: dict[str, Any] = {}
        self.modified = True

    def cycle_key(self) -> None:
        """Encrypt it anew."""
        self.save()

    @classmethod
    def clear_expired(cls) -> None:
        """Nothing is kept."""

    def _get_session_key(self) -> str:
        return _cookies().sealed(self._session)
