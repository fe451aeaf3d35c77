"""``wattbook.cash.v1.Cash``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
from wattbook.access import Principal
from wattbook.errors import InvalidInput
from wattbook_proto import cash_pb2, cash_pb2_grpc

from cash_service.api import messages
from cash_service.api.requests import (
    amount_of,
    country_of_request,
    currency_of,
    cursor_of,
    flow_of,
    include_of,
    instant_of,
    interval_of,
    key_of,
    limit_of,
    period_of,
    query_of,
    reason_of,
    source_of,
    window_state_of,
)
from cash_service.usecases.bank_status import BankStatus
from cash_service.usecases.companies import Companies
from cash_service.usecases.quality import Quality
from cash_service.usecases.questions import Answers, Wanted
from cash_service.usecases.recleaning import Recleaning

DEFAULT_COUNTERPARTIES = 100
MOST_COUNTERPARTIES = 1_000
RULES = {
    **dict.fromkeys(
        ("Companies", "Company", "Balance", "History", "Countries", "Counterparties", "Transactions",
         "SetAside", "Quality", "Status", "Windows"),
        Principal.require_cash,
    ),
    "Reclean": Principal.require_admin,
}  # fmt: skip


class CashServicer(cash_pb2_grpc.CashServicer):
    """Answers about companies, their cash, and how far the bank is followed."""

    def __init__(
        self, *, answers: Answers, companies: Companies, quality: Quality, status: BankStatus,
        recleaning: Recleaning,
    ) -> None:  # fmt: skip
        """Answer by these use cases."""
        self._answers, self._companies, self._quality = answers, companies, quality
        self._status, self._recleaning = status, recleaning

    def Companies(  # noqa: N802
        self, request: cash_pb2.CompaniesRequest, context: grpc.ServicerContext
    ) -> cash_pb2.CompaniesReply:
        """Companies that match, in pages."""
        if request.sort not in ("", "name", "id"):
            raise InvalidInput(f"sort: {request.sort[:20]!r} is none; they are name and id")
        found = self._companies.search(
            query_of(request.query), by_id=request.sort == "id", after=key_of(request, str, int),
            limit=limit_of(request.limit),
        )  # fmt: skip
        last = found.rows[-1] if found.more else None
        return cash_pb2.CompaniesReply(
            basis=messages.basis(found.basis),
            companies=[
                messages.summary(row, accounts=found.accounts.get(row.id, 0), matched_iban=iban)
                for row, iban in zip(found.rows, found.matched, strict=True)
            ],
            next_cursor=cursor_of(request, (last.sort_name, last.id)) if last else "",
        )

    def Company(  # noqa: N802
        self, request: cash_pb2.CompanyRequest, context: grpc.ServicerContext
    ) -> cash_pb2.CompanyReply:
        """One company."""
        found = self._companies.one(request.id)
        return cash_pb2.CompanyReply(
            basis=messages.basis(found.basis), company=messages.owner(found.owner),
            accounts=map(messages.account, found.owner.accounts), first_payment_us=found.first_us,
            last_payment_us=found.last_us,
        )  # fmt: skip

    def Balance(  # noqa: N802
        self, request: cash_pb2.BalanceRequest, context: grpc.ServicerContext
    ) -> cash_pb2.BalanceReply:
        """A balance at an instant."""
        at_us = instant_of("at", request.at_us) if request.HasField("at_us") else None
        found = self._answers.balance(
            request.company_id, at_us=at_us, currency=currency_of(request.currency),
            include=include_of(request.include),
        )  # fmt: skip
        return messages.balance(found)

    def History(  # noqa: N802
        self, request: cash_pb2.HistoryRequest, context: grpc.ServicerContext
    ) -> cash_pb2.HistoryReply:
        """A history by intervals."""
        from_us, before_us = period_of(request)
        interval, currency = interval_of(request.interval), currency_of(request.currency)
        found = self._answers.history(
            request.company_id, from_us=from_us, before_us=before_us, interval=interval, currency=currency,
            include=include_of(request.include), iban=request.iban,
        )  # fmt: skip
        return messages.history(found, interval=interval, currency=currency)

    def Countries(  # noqa: N802
        self, request: cash_pb2.PeriodRequest, context: grpc.ServicerContext
    ) -> cash_pb2.CountriesReply:
        """What moved by country."""
        return messages.countries(self._flows(request, by_country=True))

    def Counterparties(  # noqa: N802
        self, request: cash_pb2.PeriodRequest, context: grpc.ServicerContext
    ) -> cash_pb2.CounterpartiesReply:
        """What moved by counterparty."""
        return messages.counterparties(self._flows(request, by_country=False))

    def Transactions(  # noqa: N802
        self, request: cash_pb2.TransactionsRequest, context: grpc.ServicerContext
    ) -> Iterator[cash_pb2.TransactionPage]:
        """Payments, newest first, in pages; the first has the sums."""
        wanted, apart = _wanted(request), not request.iban
        after = key_of(request, int, int, int)
        selection = self._answers.selection(wanted)
        now_us = self._answers.now_us()
        head: dict[str, Any] = {"basis": messages.basis(selection.basis), "currency": wanted.currency}
        if not request.without_sums:
            found = self._answers.sums(selection, apart=apart)
            head["sums"] = messages.sums(*found, selection.conversion)
        for legs, accounts, more in self._answers.payments(selection, after=after, limit=request.limit):
            rows = [
                messages.transaction(leg, accounts, selection.conversion, apart=apart, now_us=now_us)
                for leg in legs
            ]
            last = (legs[-1].time_us, legs[-1].account, legs[-1].line) if more else None
            following = cursor_of(request, last) if last else ""
            yield cash_pb2.TransactionPage(transactions=rows, next_cursor=following, **head)
            head.pop("sums", None)

    def SetAside(  # noqa: N802
        self, request: cash_pb2.SetAsideRequest, context: grpc.ServicerContext
    ) -> cash_pb2.SetAsideReply:
        """What is left out, in pages."""
        period = period_of(request) if request.from_us or request.before_us else None
        found = self._companies.set_aside(
            None if request.all_companies else request.company_id, period=period,
            reason=reason_of(request.reason), after=key_of(request, int, int, int),
            limit=limit_of(request.limit),
        )  # fmt: skip
        last = found.rows[-1] if found.more else None
        following = cursor_of(request, (last.window_number, last.source, last.position)) if last else ""
        return cash_pb2.SetAsideReply(
            basis=messages.basis(found.basis), rows=map(messages.set_aside, found.rows), next_cursor=following
        )

    def Quality(  # noqa: N802
        self, request: cash_pb2.QualityRequest, context: grpc.ServicerContext
    ) -> cash_pb2.QualityReply:
        """What is unusual in the data."""
        company_id = None if request.all_companies else request.company_id
        return messages.quality(self._quality.of(company_id, currency=currency_of(request.currency)))

    def Status(self, request: cash_pb2.StatusRequest, context: grpc.ServicerContext) -> cash_pb2.StatusReply:  # noqa: N802
        """How far the bank is followed."""
        return messages.status(self._status.status())

    def Windows(  # noqa: N802
        self, request: cash_pb2.WindowsRequest, context: grpc.ServicerContext
    ) -> cash_pb2.WindowsReply:
        """Windows that are had, in pages."""
        found = self._status.windows(
            source=source_of(request.source), state=window_state_of(request.state),
            after=key_of(request, int, int), limit=limit_of(request.limit),
        )  # fmt: skip
        last = found.rows[-1] if found.more else None
        following = cursor_of(request, (last.number, last.source)) if last else ""
        return cash_pb2.WindowsReply(
            basis=messages.basis(found.basis), windows=map(messages.window, found.rows), next_cursor=following
        )

    def Reclean(  # noqa: N802
        self, request: cash_pb2.RecleanRequest, context: grpc.ServicerContext
    ) -> Iterator[cash_pb2.RecleanReply]:
        """Clean anew, and say what changes."""
        for step in self._recleaning.run(keep=request.keep):
            yield messages.reclean(step)

    def _flows(self, request: cash_pb2.PeriodRequest, *, by_country: bool) -> Any:
        from_us, before_us = period_of(request)
        if request.limit > MOST_COUNTERPARTIES:
            raise InvalidInput(f"limit: {request.limit} is not in 1…{MOST_COUNTERPARTIES:,}")
        return self._answers.flows(
            request.company_id, from_us=from_us, before_us=before_us, currency=currency_of(request.currency),
            include=include_of(request.include), iban=request.iban, by_country=by_country,
            limit=request.limit or DEFAULT_COUNTERPARTIES,
        )  # fmt: skip


def _wanted(request: cash_pb2.TransactionsRequest) -> Wanted:
    from_us, before_us = period_of(request)
    return Wanted(
        request.company_id, from_us, before_us, currency_of(request.currency),
        include=include_of(request.include), iban=request.iban, flow=flow_of(request.direction),
        country=country_of_request(request.country), least=amount_of("min", request.min_amount),
        most=amount_of("max", request.max_amount), source=source_of(request.source),
        counterparty=request.counterparty,
    )  # fmt: skip
