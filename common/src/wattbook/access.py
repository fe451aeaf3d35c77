"""Who may do what: the same rules at the gateway and at every owner behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wattbook.errors import Forbidden
from wattbook.text import id_problem


class Role(StrEnum):
    """What a user may be."""

    TRADER = "trader"
    DESK = "desk"
    ADMIN = "admin"
    SERVICE = "service"
    SUPPORT = "support"
    TREASURER = "treasurer"


_ALL_TRADES = frozenset({Role.DESK, Role.ADMIN, Role.SERVICE})
_DESK = frozenset({Role.DESK, Role.ADMIN})
_CASH = frozenset({Role.DESK, Role.ADMIN, Role.SERVICE, Role.TREASURER})
TRADING = frozenset({Role.TRADER, Role.DESK, Role.ADMIN, Role.SERVICE})
_METERS = frozenset({Role.SUPPORT, Role.DESK, Role.ADMIN, Role.SERVICE})
_EXCHANGE_CLIENT = "ingest-service"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are; ``trader_id`` is set for the trader role.

    ``may_write`` False: whoever carries this pass was only let in to read.
    """

    name: str
    roles: frozenset[Role]
    trader_id: str | None = None
    is_client: bool = False
    may_write: bool = True

    @property
    def sees_all(self) -> bool:
        """Whether every trader's trades and reports are theirs to see and to book."""
        return not _ALL_TRADES.isdisjoint(self.roles)

    @property
    def speaks_for_exchange(self) -> bool:
        """Whether a file that they send is the exchange's own statement: ingest-service's client alone."""
        return self.is_client and self.name == _EXCHANGE_CLIENT and Role.SERVICE in self.roles

    @property
    def own_trader_id(self) -> str | None:
        """The one trader whose trades they see and book, where they have the trader role."""
        return self.trader_id if Role.TRADER in self.roles else None

    def refusal(self, trader_id: str) -> str | None:
        """Why they may not see or book trades of ``trader_id``; None where they may."""
        own = self.own_trader_id
        if self.sees_all or (own is not None and own == trader_id):
            return None
        if not own:
            return "you have no role that allows this"
        problem = id_problem(trader_id)  # else nobody could tell both apart
        return f"you may only use trades of {own}" + (f"; {problem}" if problem else "")

    def require_write(self) -> None:
        """Insist that this is no pass for reading only.

        Raises:
            Forbidden: it is.
        """
        if not self.may_write:
            raise Forbidden("this pass is for reading only")

    def require_trader(self, trader_id: str) -> None:
        """Insist that they may see and book trades of ``trader_id``.

        Raises:
            Forbidden: they may not.
        """
        refusal = self.refusal(trader_id)
        if refusal:
            raise Forbidden(refusal)

    def visible_trader_id(self, asked: str) -> str:
        """The trader to search for: ``asked``, or their own where they asked for nobody; ``""`` means all.

        Raises:
            Forbidden: the trader asked for is not theirs to see.
        """
        if self.sees_all:
            return asked
        wanted = asked or self.own_trader_id or ""
        self.require_trader(wanted)
        return wanted

    def require_file_source(self) -> None:
        """Insist that they may book as the exchange's nightly file.

        Raises:
            Forbidden: they may not.
        """
        if not self.sees_all:
            raise Forbidden("only service, desk and admin users book from a file")

    def require_exchange_files(self) -> None:
        """Insist that what they state may count as the exchange's own word.

        For owners, to whom the gateway alone can say who is a client: see :attr:`speaks_for_exchange`.

        Raises:
            Forbidden: it may not.
        """
        if self.name != _EXCHANGE_CLIENT or Role.SERVICE not in self.roles:
            raise Forbidden("only the service that brings the exchange's files in may speak for it")

    def require_booking(self) -> None:
        """Insist on a role that has to do with trades, and that this is no pass for reading only.

        Raises:
            Forbidden: they lack one of both.
        """
        self.require_trading()
        self.require_write()

    def require_trading(self) -> None:
        """Insist on a role that has to do with trades and what they are worth.

        Raises:
            Forbidden: they have none.
        """
        if TRADING.isdisjoint(self.roles):
            raise Forbidden("you have no role that allows this")

    def require_cash(self) -> None:
        """Insist that the cash of companies is theirs to see.

        Raises:
            Forbidden: it is not.
        """
        if _CASH.isdisjoint(self.roles):
            raise Forbidden("only treasurer, desk, admin and service users may see this")

    def require_meters(self) -> None:
        """Insist that meter readings and flow files are theirs to see.

        Raises:
            Forbidden: they are not.
        """
        if _METERS.isdisjoint(self.roles):
            raise Forbidden("only support, desk, admin and service users may see this")

    def require_import(self) -> None:
        """Insist that they may bring flow files in, and that this is no pass for reading only.

        Raises:
            Forbidden: they lack one of both.
        """
        if not self.sees_all:
            raise Forbidden("only desk, admin and service users import flow files")
        self.require_write()

    def require_sees_all(self) -> None:
        """Insist that every trader's trades are theirs to see.

        Raises:
            Forbidden: they are not.
        """
        if not self.sees_all:
            raise Forbidden("only desk, admin and service users may see this")

    def require_desk(self) -> None:
        """Insist on the desk or the admin role.

        Raises:
            Forbidden: they have neither.
        """
        if _DESK.isdisjoint(self.roles):
            raise Forbidden("only desk and admin users may do this")

    def require_desk_write(self) -> None:
        """Insist on the desk or the admin role, and that this is no pass for reading only.

        Raises:
            Forbidden: they lack one of both.
        """
        self.require_desk()
        self.require_write()

    def require_admin(self) -> None:
        """Insist on the admin role.

        Raises:
            Forbidden: they do not have it.
        """
        if Role.ADMIN not in self.roles:
            raise Forbidden("only an admin may do this")
