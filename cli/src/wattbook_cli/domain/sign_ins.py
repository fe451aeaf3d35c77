"""Who is signed in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who is signed in at a gateway, with which tokens; ``expires_at_s`` counts seconds since 1970."""

    user: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at_s: int
