"""A key like the gateway's, its public file, and passes signed with it."""

from __future__ import annotations

from pathlib import Path

from joserfc.jwk import ECKey
from wattbook.access import Principal, Role
from wattbook.auth.tokens import write_token


class KeyRing:
    """A signing key, and the file that owners check passes with."""

    def __init__(self, folder: Path) -> None:
        self.key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
        self.key.ensure_kid()
        self.public_file = folder / "verify-keys.pem"
        self.public_file.write_bytes(self.key.as_pem(private=False))

    def pass_of(
        self,
        *roles: Role,
        audience: str,
        name: str = "ana",
        trader_id: str | None = None,
        may_write: bool = True,
        lifetime_s: int = 60,
        now_s: float | None = None,
    ) -> str:
        """A pass as the gateway would sign it."""
        who = Principal(name, frozenset(roles), trader_id=trader_id, may_write=may_write)
        return write_token(self.key, who, audience=audience, lifetime_s=lifetime_s, now_s=now_s)
