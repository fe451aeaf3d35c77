"""What the gateway remembers: users and their sessions; nothing of the business."""

from gateway.store.restored import restored
from gateway.store.revocations import RevocationStore
from gateway.store.tokens import RefreshToken, TokenStore
from gateway.store.users import UserStore

__all__ = ["RefreshToken", "RevocationStore", "TokenStore", "UserStore", "restored"]
