"""What the gateway remembers: users and refresh tokens; nothing of the business."""

from gateway.store.tokens import RefreshToken, TokenStore
from gateway.store.users import UserStore

__all__ = ["RefreshToken", "TokenStore", "UserStore"]
