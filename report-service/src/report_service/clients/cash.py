"""cash-service, owner of companies, payments and balances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from wattbook import rpc
from wattbook_proto import cash_pb2, cash_pb2_grpc

from report_service.domain.cash import Answers, Look

TIMEOUT_S = 5.0
MOST_COUNTERPARTIES = 25
_INTERVALS: Mapping[str, Any] = {
    "day": cash_pb2.DAY,
    "week": cash_pb2.WEEK,
    "month": cash_pb2.MONTH,
    "quarter": cash_pb2.QUARTER,
    "year": cash_pb2.YEAR,
}
_INCLUDES: Mapping[str, Any] = {
    "batch": cash_pb2.BATCH,
    "batch-once": cash_pb2.BATCH_ONCE,
    "invalid-iban": cash_pb2.INVALID_IBAN,
}
_DIRECTIONS: Mapping[str, Any] = {
    "in": cash_pb2.IN,
    "out": cash_pb2.OUT,
    "internal": cash_pb2.INTERNAL,
}
_SOURCES: Mapping[str, Any] = {"sepa": cash_pb2.SEPA, "swift": cash_pb2.SWIFT}


class CashService:
    """Company cash over gRPC. Every call raises Unavailable where cash-service is away."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Call over ``channel``, which the caller closes."""
        self._stub: Any = cash_pb2_grpc.CashStub(channel)  # type: ignore[no-untyped-call]

    def companies(self, query: str, *, cursor: str, limit: int) -> cash_pb2.CompaniesReply:
        """A page of companies.

        Raises:
            InvalidInput: the cursor is none.
        """
        return self._ask("Companies", cash_pb2.CompaniesRequest(query=query, cursor=cursor, limit=limit))

    def answers(self, look: Look) -> Answers:
        """Everything that a company's page shows.

        Raises:
            NotFound: there is no such company.
            InvalidInput: it has no such account.
        """
        asked: dict[str, Any] = {
            "company_id": look.company_id,
            "currency": look.currency,
            "include": included(look),
        }
        period = {**asked, "from_us": look.from_us, "before_us": look.before_us, "iban": look.account}
        return Answers(
            company=self._ask("Company", cash_pb2.CompanyRequest(id=look.company_id)),
            balance=self._ask("Balance", cash_pb2.BalanceRequest(**asked)),
            history=self._ask(
                "History", cash_pb2.HistoryRequest(**period, interval=_INTERVALS[look.interval])
            ),
            countries=self._ask("Countries", cash_pb2.PeriodRequest(**period)),
            counterparties=self._ask(
                "Counterparties", cash_pb2.PeriodRequest(**period, limit=MOST_COUNTERPARTIES)
            ),
            quality=self._ask(
                "Quality", cash_pb2.QualityRequest(company_id=look.company_id, currency=look.currency)
            ),
        )

    def payments(
        self, look: Look, chosen: Mapping[str, str], *, cursor: str, limit: int
    ) -> cash_pb2.TransactionPage:
        """A page of payments; ``chosen`` narrows them by direction, country, min, max, kind, counterparty.

        Raises:
            NotFound: there is no such company. InvalidInput: something asked for cannot be.
        """
        request = cash_pb2.TransactionsRequest(
            company_id=look.company_id, from_us=look.from_us, before_us=look.before_us,
            currency=look.currency, include=included(look), iban=look.account,
            direction=_DIRECTIONS.get(chosen.get("direction", ""), cash_pb2.DIRECTION_UNSPECIFIED),
            country=chosen.get("country", ""), min_amount=chosen.get("min", ""),
            max_amount=chosen.get("max", ""),
            source=_SOURCES.get(chosen.get("kind", ""), cash_pb2.SOURCE_UNSPECIFIED),
            counterparty=chosen.get("counterparty", ""), limit=limit, cursor=cursor,
        )  # fmt: skip
        whole = cash_pb2.TransactionPage()
        for page in rpc.stream(self._stub.Transactions, request, timeout_s=TIMEOUT_S):
            whole.MergeFrom(page)
        return whole

    def set_aside(self, company_id: int, *, cursor: str, limit: int) -> cash_pb2.SetAsideReply:
        """A page of what is left out of a company's balances.

        Raises:
            NotFound: there is no such company. InvalidInput: the cursor is none.
        """
        request = cash_pb2.SetAsideRequest(company_id=company_id, cursor=cursor, limit=limit)
        return self._ask("SetAside", request)

    def status(self) -> cash_pb2.StatusReply:
        """How far the bank's data is had."""
        return self._ask("Status", cash_pb2.StatusRequest())

    def _ask(self, method: str, request: Any) -> Any:
        return rpc.call(getattr(self._stub, method), request, timeout_s=TIMEOUT_S)


def included(look: Look) -> list[Any]:
    """What counts beside clean payments, in the contract's words."""
    return [_INCLUDES[name] for name in look.include]
