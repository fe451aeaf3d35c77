"""cash-service's replies as the API states them: amounts are decimal texts, what is unknown is null."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from wattbook.clock import from_epoch_us, iso_z
from wattbook.text import without_formula
from wattbook_proto import cash_pb2

from gateway.api.values import instant_us

SOURCES: dict[str, Any] = {"sepa": cash_pb2.SEPA, "swift": cash_pb2.SWIFT}
INTERVALS: dict[str, Any] = {
    "day": cash_pb2.DAY, "week": cash_pb2.WEEK, "month": cash_pb2.MONTH, "quarter": cash_pb2.QUARTER,
    "year": cash_pb2.YEAR, "all": cash_pb2.ALL,
}  # fmt: skip
DIRECTIONS: dict[str, Any] = {"in": cash_pb2.IN, "out": cash_pb2.OUT, "internal": cash_pb2.INTERNAL}
_SOURCE_NAMES = {value: name for name, value in SOURCES.items()}
_INTERVAL_NAMES = {value: name for name, value in INTERVALS.items()}
_DIRECTION_NAMES = {value: name for name, value in DIRECTIONS.items()}
_READINGS = {cash_pb2.MULTIPLY: "multiply", cash_pb2.QUOTED: "quoted"}
_QUOTED = frozenset('",\r\n')
_COLUMNS = "Time,Id,Kind,Account,Direction,Counterparty,Country,Bank,Amount,Currency,{},Flags\r\n"


def companies(reply: cash_pb2.CompaniesReply) -> dict[str, Any]:
    """A page of companies."""
    return {**_basis(reply.basis), "companies": [_summary(each) for each in reply.companies]}


def company(reply: cash_pb2.CompanyReply) -> dict[str, Any]:
    """A company with its accounts."""
    return {
        **_basis(reply.basis),
        "company": _summary(reply.company),
        "accounts": [_account(each) for each in reply.accounts],
        "first_payment": _instant(reply, "first_payment_us"),
        "last_payment": _instant(reply, "last_payment_us"),
    }


def balance(reply: cash_pb2.BalanceReply) -> dict[str, Any]:
    """What a company has."""
    return {
        **_basis(reply.basis),
        "company": _summary(reply.company),
        "at": iso_z(from_epoch_us(reply.at_us)),
        "currency": reply.currency,
        "balance": reply.balance,
        "debt": reply.debt,
        "credit": reply.credit,
        "payments": reply.payments,
        "accounts": [
            {
                **_account(each.account),
                "balance": each.balance,
                "payments": each.payments,
                "by_currency": [_money(one) for one in each.by_currency],
            }
            for each in reply.accounts
        ],
        "left_out": _left_out(reply.left_out),
        "future_payments": reply.future_payments,
    }


def history(reply: cash_pb2.HistoryReply) -> dict[str, Any]:
    """A bucket a row."""
    return {
        **_basis(reply.basis),
        "company": _summary(reply.company),
        "currency": reply.currency,
        "interval": _INTERVAL_NAMES.get(reply.interval, "all"),
        "buckets": [_bucket(each) for each in reply.buckets],
        "left_out": _left_out(reply.left_out),
    }


def countries(reply: cash_pb2.CountriesReply) -> dict[str, Any]:
    """A country a row."""
    return {
        **_basis(reply.basis),
        "company": _summary(reply.company),
        "currency": reply.currency,
        "countries": [{"country": each.country or None, **_flow(each.flow)} for each in reply.countries],
        "total": _flow(reply.total),
        "left_out": _left_out(reply.left_out),
    }


def counterparties(reply: cash_pb2.CounterpartiesReply) -> dict[str, Any]:
    """A counterparty a row."""
    return {
        **_basis(reply.basis),
        "company": _summary(reply.company),
        "currency": reply.currency,
        "counterparties": [
            {
                **_account(each.account),
                "company_id": each.company_id if each.company_id >= 0 else None,
                "company": each.company or None,
                **_flow(each.flow),
            }
            for each in reply.counterparties
        ],
        "counterparties_total": reply.counterparties_total,
        "total": _flow(reply.total),
        "left_out": _left_out(reply.left_out),
    }


def transactions(page: cash_pb2.TransactionPage) -> dict[str, Any]:
    """A page of payments, with the sums of the whole selection where the owner told them."""
    sums = page.sums
    told = {
        "payments": sums.payments,
        "in": sums.cash_in,
        "out": sums.cash_out,
        "internal": sums.internal,
        "net": sums.net,
        "left_out": _left_out(sums.left_out),
    }
    return {
        **_basis(page.basis),
        "currency": page.currency,
        "sums": told if page.HasField("sums") else None,
        "transactions": [_transaction(each) for each in page.transactions],
    }


def set_aside(reply: cash_pb2.SetAsideReply) -> dict[str, Any]:
    """What is left out, and why."""
    return {
        **_basis(reply.basis),
        "rows": [
            {
                "kind": _SOURCE_NAMES.get(each.source),
                "window": each.window,
                "position": each.position,
                "reasons": list(each.reasons),
                **{
                    name: getattr(each, name) or None
                    for name in ("id", "payer", "beneficiary", "amount", "currency", "time", "text")
                },
            }
            for each in reply.rows
        ],
    }


def quality(reply: cash_pb2.QualityReply) -> dict[str, Any]:
    """What is unusual in the data, by kind."""
    return {
        **_basis(reply.basis),
        "company": _summary(reply.company) if reply.HasField("company") else None,
        "currency": reply.currency,
        "kinds": [
            {
                "kind": each.kind,
                "payments": each.payments,
                "in": each.cash_in or None,
                "out": each.cash_out or None,
                "set_aside": each.set_aside,
                "balance_without": each.balance_without or None,
                "balance_with": each.balance_with or None,
            }
            for each in reply.kinds
        ],
        "rounding": [_money(each) for each in reply.rounding],
        "suspicious": [_account(each) for each in reply.suspicious],
        "balance": reply.balance or None,
        "balance_with_all": reply.balance_with_all or None,
    }


def status(reply: cash_pb2.StatusReply) -> dict[str, Any]:
    """How far the bank's data is had."""
    return {
        **_basis(reply.basis),
        "leader": reply.leader,
        "dialect": reply.dialect or None,
        "lag_s": reply.lag_s,
        "sources": [_source(each) for each in reply.sources],
        "companies": reply.companies,
        "accounts": reply.accounts,
        "set_aside": reply.set_aside,
        "checked": instant_us(reply.checked_us),
        "check_trouble": reply.check_trouble or None,
        "rules_version": reply.rules_version,
        "windows_of_older_rules": reply.windows_of_older_rules,
    }


def windows(reply: cash_pb2.WindowsReply) -> dict[str, Any]:
    """The windows that are had."""
    return {
        **_basis(reply.basis),
        "windows": [
            {
                "kind": _SOURCE_NAMES.get(each.source),
                "number": each.number,
                **_span(each),
                "version": each.version,
                "complete": each.complete,
                "late": each.late,
                "rows": each.rows,
                "payments": each.payments,
                "set_aside": each.set_aside,
                "sha256": each.sha256 or None,
                "received": instant_us(each.received_us),
                "rules_version": each.rules_version,
            }
            for each in reply.windows
        ],
    }


def recleaned(reply: cash_pb2.RecleanReply) -> dict[str, Any]:
    """How far it is; at the end what differs."""
    said: dict[str, Any] = {"windows_done": reply.windows_done, "windows_total": reply.windows_total}
    if not reply.done:
        return said
    return {
        **said,
        "kept": reply.kept,
        "differences": [
            {
                "company_id": each.company_id,
                "name": each.name,
                "payments_before": each.payments_before,
                "payments_after": each.payments_after,
                "currency": "EUR",
                "balance_before": each.balance_before,
                "balance_after": each.balance_after,
            }
            for each in reply.differences
        ],
    }


def csv_header(currency: str) -> bytes:
    """The columns of :func:`csv_lines`."""
    return _COLUMNS.format(currency or "Converted").encode()


def csv_lines(page: cash_pb2.TransactionPage) -> bytes:
    """A line a payment; what adds is positive, what takes away negative."""
    lines = []
    for each in page.transactions:
        sign, money, other = "" if each.credit else "-", each.money, each.counterparty
        converted = f"{sign}{each.converted}" if each.converted else ""
        lines.append(
            f"{iso_z(from_epoch_us(each.time_us))},{_cell(each.id)},{_SOURCE_NAMES.get(each.source, '')},"
            f"{_cell(each.iban)},{_DIRECTION_NAMES.get(each.direction, '')},{_cell(other.iban)},"
            f"{other.country},{_cell(other.bank)},{sign}{money.amount},{_cell(money.currency)},{converted},"
            f"{' '.join(each.flags)}\r\n"
        )
    return "".join(lines).encode()


@lru_cache(maxsize=16_384)
def _cell(text: str) -> str:
    text = without_formula(text)
    if _QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _basis(basis: cash_pb2.Basis) -> dict[str, Any]:
    rates = basis.rates
    return {
        "data": {
            "version": basis.data_version,
            "complete_to": _instant(basis, "complete_to_us"),
            "windows_missing": basis.windows_missing,
            "missing": _gaps(basis.missing),
            "loading": basis.loading,
        },
        "rates": {
            "version": rates.version,
            "received": instant_us(rates.received_us),
            "confirmed": instant_us(rates.confirmed_us),
            "reading": _READINGS.get(rates.reading),
            "warning": rates.warning or None,
        },
    }


def _gaps(gaps: Iterable[cash_pb2.Gap]) -> list[dict[str, Any]]:
    return [{"kind": _SOURCE_NAMES.get(each.source), **_span(each)} for each in gaps]


def _span(each: Any) -> dict[str, str]:
    return {"from": iso_z(from_epoch_us(each.from_us)), "to": iso_z(from_epoch_us(each.before_us))}


def _source(each: cash_pb2.SourceStatus) -> dict[str, Any]:
    return {
        "kind": _SOURCE_NAMES.get(each.source),
        "complete_to": _instant(each, "complete_to_us"),
        "windows": each.windows,
        "windows_missing": each.windows_missing,
        "missing": _gaps(each.missing),
        "windows_late": each.windows_late,
        "windows_changed": each.windows_changed,
        "payments": each.payments,
        "last_success": instant_us(each.last_success_us),
        "trouble": each.trouble or None,
        "trouble_since": instant_us(each.trouble_since_us),
        "failed_tries": dict(sorted(each.failed_tries.items())),
    }


def _summary(each: cash_pb2.CompanySummary) -> dict[str, Any]:
    return {
        "id": each.id,
        "name": each.name,
        "owner": each.owner or None,
        "address": each.address or None,
        "accounts": each.accounts,
        "gone": each.gone,
        "stated_balance": _money(each.stated_balance) if each.HasField("stated_balance") else None,
        "matched_iban": each.matched_iban or None,
    }


def _account(each: cash_pb2.Account) -> dict[str, Any]:
    return {
        "iban": each.iban,
        "country": each.country or None,
        "bank": each.bank or None,
        "suspicious": list(each.suspicious),
        "also_of": list(each.also_of),
    }


def _money(each: cash_pb2.Money) -> dict[str, str]:
    return {"currency": each.currency, "amount": each.amount}


def _left_out(found: Iterable[cash_pb2.LeftOut]) -> list[dict[str, Any]]:
    return [{"currency": each.currency, "amount": each.amount, "payments": each.payments} for each in found]


def _flow(each: cash_pb2.Flow) -> dict[str, Any]:
    return {
        "in": each.cash_in,
        "out": each.cash_out,
        "payments_in": each.payments_in,
        "payments_out": each.payments_out,
    }


def _bucket(each: cash_pb2.Bucket) -> dict[str, Any]:
    return {
        "label": each.label or None,
        **_span(each),
        "opening": each.opening,
        "in": each.cash_in,
        "out": each.cash_out,
        "internal": each.internal,
        "closing": each.closing,
        "rounding": each.rounding,
        "lowest": each.lowest,
        "lowest_day": each.lowest_day or None,
        "payments": each.payments,
    }


def _transaction(each: cash_pb2.Transaction) -> dict[str, Any]:
    sign = "" if each.credit else "-"
    return {
        "id": each.id,
        "kind": _SOURCE_NAMES.get(each.source),
        "time": iso_z(from_epoch_us(each.time_us)),
        "account": each.iban,
        "direction": _DIRECTION_NAMES.get(each.direction),
        "amount": f"{sign}{each.money.amount}",
        "currency": each.money.currency,
        "converted": f"{sign}{each.converted}" if each.converted else None,
        "counterparty": _account(each.counterparty),
        "flags": list(each.flags),
        "window": each.window,
    }


def _instant(message: Any, name: str) -> str | None:
    """RFC 3339 of an optional field; 1970 is an instant here."""
    return iso_z(from_epoch_us(getattr(message, name))) if message.HasField(name) else None
