"""``/users`` and ``/me``."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from wattbook.clock import iso_z
from wattbook.trade.statement import decode, refuse_repeated_keys

from gateway.api.http import Request, Response, json_response
from gateway.domain.users import User
from gateway.usecases.accounts import UNCHANGED, Accounts, Change


class _NewUser(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    password: str
    roles: list[str] = []
    trader_id: str | None = None


class _UserChange(msgspec.Struct, forbid_unknown_fields=True):
    password: str | UnsetType = UNSET
    roles: list[str] | UnsetType = UNSET
    trader_id: str | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET


class _PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    old_password: str
    new_password: str


class UsersApi:
    """Handlers of the users document."""

    def __init__(self, accounts: Accounts) -> None:
        """Serve ``accounts``."""
        self._accounts = accounts

    async def list(self, request: Request) -> Response:
        """``GET /users``."""
        return json_response([_shown(user) for user in await self._accounts.all(request.principal)])

    async def get(self, request: Request) -> Response:
        """``GET /users/{name}``."""
        return json_response(_shown(await self._accounts.get(request.principal, request.params["name"])))

    async def add(self, request: Request) -> Response:
        """``POST /users``."""
        new = await _read(request, _NewUser)
        user = await self._accounts.add(
            request.principal, name=new.name, password=new.password, roles=new.roles, trader_id=new.trader_id
        )
        return json_response(_shown(user), status=201)

    async def change(self, request: Request) -> Response:
        """``PATCH /users/{name}``."""
        wanted = await _read(request, _UserChange)
        change = Change(
            password=_or_none(wanted.password),
            roles=_or_none(wanted.roles),
            trader_id=UNCHANGED if wanted.trader_id is UNSET else wanted.trader_id,
            disabled=_or_none(wanted.disabled),
        )
        user = await self._accounts.change(request.principal, request.params["name"], change)
        return json_response(_shown(user))

    async def me(self, request: Request) -> Response:
        """``GET /me``."""
        asker = request.principal
        roles = sorted(asker.roles)
        return json_response({"name": asker.name, "roles": roles, "trader_id": asker.trader_id})

    async def change_password(self, request: Request) -> Response:
        """``PUT /me/password``."""
        wanted = await _read(request, _PasswordChange)
        await self._accounts.change_own_password(
            request.principal, old=wanted.old_password, new=wanted.new_password, address=request.address
        )
        return Response(204, content_type=None)


async def _read(request: Request, kind: type[Any]) -> Any:
    body = await request.body()
    found = decode(msgspec.json.Decoder(kind).decode, body)
    refuse_repeated_keys(body)
    return found


def _or_none(value: Any) -> Any:
    return None if value is UNSET else value


def _shown(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "roles": sorted(user.roles),
        "trader_id": user.trader_id,
        "disabled": user.disabled,
        "created_at": iso_z(user.created_at),
        "changed_at": iso_z(user.changed_at),
    }
