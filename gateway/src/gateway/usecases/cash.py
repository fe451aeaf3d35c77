"""Ask the owner of companies' cash, for those who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from wattbook.access import Principal
from wattbook_proto import cash_pb2

from gateway.clients import CashClient


class Cash:
    """Companies, balances and payments."""

    def __init__(self, client: CashClient) -> None:
        """Ask ``client``."""
        self._client = client

    async def ask(self, asker: Principal, method: str, request: Any) -> Any:
        """The reply to a question of the contract that reads, by the name of its method.

        Raises:
            Forbidden: not the asker's to see.
            NotFound: there is no such company.
            InvalidInput: the owner refused what is asked for.
        """
        asker.require_cash()
        return await self._client.ask(asker, method, request)

    def transactions(
        self, asker: Principal, request: cash_pb2.TransactionsRequest
    ) -> AsyncIterator[cash_pb2.TransactionPage]:
        """Payments by time, page by page. Raises like :meth:`ask`."""
        asker.require_cash()
        return self._client.transactions(asker, request)

    def reclean(self, asker: Principal, *, keep: bool) -> AsyncIterator[cash_pb2.RecleanReply]:
        """Run today's rules over what the bank sent; with ``keep`` the figures follow.

        Raises:
            Forbidden: not the asker's to do.
        """
        asker.require_admin()
        return self._client.reclean(asker, keep=keep)
