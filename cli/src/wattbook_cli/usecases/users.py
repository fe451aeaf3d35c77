"""Changing who may sign in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from wattbook_cli.clients.gateway import Gateway


def add_user(
    gateway: Gateway, *, name: str, password: str, roles: Sequence[str], trader_id: str | None
) -> None:
    """Make a user.

    Raises:
        Stop: the gateway refuses: the name is taken, the password too weak, we are no admin.
    """
    body = {"name": name, "password": password, "roles": list(roles), "trader_id": trader_id}
    gateway.ask("POST", "/v1/users", body=body)


def change_user(gateway: Gateway, *, name: str, change: Mapping[str, Any]) -> None:
    """Change some of a user's fields.

    Raises:
        Stop: the gateway refuses: there is no such user, we are no admin.
    """
    gateway.ask("PATCH", f"/v1/users/{quote(name, safe='')}", body=dict(change))


def change_own_password(gateway: Gateway, *, old: str, new: str) -> None:
    """Change the password of whoever is signed in.

    Raises:
        Stop: the old one is wrong, the new one too weak.
    """
    gateway.ask("PUT", "/v1/me/password", body={"old_password": old, "new_password": new})
