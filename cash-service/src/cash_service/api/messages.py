"""Answers in the words of ``cash.proto``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from wattbook_proto import cash_pb2

from cash_service.domain.balances import Bucket, LeftOut, Movement
from cash_service.domain.cleaning import RULES_VERSION, Flow, Kind, Source, flag_names, reason_names
from cash_service.domain.iban import IbanFacts, facts_of
from cash_service.domain.money import amount_text, currency_facts
from cash_service.domain.periods import DAY_US, FUTURE_US, Interval, window_span
from cash_service.domain.rates import TARGET_DECIMALS, Conversion, Reading
from cash_service.usecases.bank_status import SourceFound, StatusFound
from cash_service.usecases.basis import Basis, Gap, gap_span
from cash_service.usecases.quality import KindFound, QualityFound
from cash_service.usecases.questions import BalanceFound, FlowsFound, HistoryFound, Owner
from cash_service.usecases.recleaning import Step

MOST_GAPS = 20
_READINGS = {Reading.MULTIPLY: cash_pb2.MULTIPLY, Reading.QUOTED: cash_pb2.QUOTED}
_INTERVALS: dict[Interval, Any] = {each: cash_pb2.Interval.Value(each.name) for each in Interval}
_SOURCES = {Source.SEPA: cash_pb2.SEPA, Source.SWIFT: cash_pb2.SWIFT}


def basis(found: Basis) -> cash_pb2.Basis:
    """What figures stand on."""
    progress, state = found.progress, found.state
    return cash_pb2.Basis(
        data_version=state.data_version, complete_to_us=progress.complete_to_us,
        windows_missing=len(progress.missing), missing=gaps(progress.missing), loading=progress.loading,
        rates=cash_pb2.Rates(
            version=state.rates_version, received_us=found.rates_received_us,
            confirmed_us=state.rates_confirmed_us, reading=_READINGS[found.rates.reading],
            warning=found.warning,
        ),
    )  # fmt: skip


def gaps(missing: Sequence[Gap]) -> list[cash_pb2.Gap]:
    """The first missing windows."""
    made = []
    for gap in missing[:MOST_GAPS]:
        from_us, before_us = gap_span(gap)
        made.append(cash_pb2.Gap(source=_SOURCES[gap.source], from_us=from_us, before_us=before_us))
    return made


def money(currency: str, minor: int) -> cash_pb2.Money:
    """An amount as paid."""
    return cash_pb2.Money(currency=currency, amount=_as_paid(currency, minor))


def summary(row: Any, *, accounts: int, matched_iban: str = "") -> cash_pb2.CompanySummary:
    """A company in short."""
    stated = cash_pb2.Money(currency="EUR", amount=row.stated_balance) if row.stated_balance else None
    return cash_pb2.CompanySummary(
        id=row.id, name=row.name, owner=row.owner, address=row.address, accounts=accounts, gone=row.is_gone,
        stated_balance=stated, matched_iban=matched_iban,
    )  # fmt: skip


def owner(found: Owner) -> cash_pb2.CompanySummary:
    """A company in short, of its accounts."""
    return summary(found.company, accounts=len(found.accounts))


def account(row: Any) -> cash_pb2.Account:
    """An account, and what its IBAN says."""
    facts = facts_of(row.iban)
    return _account(row, facts)


def balance(found: BalanceFound) -> cash_pb2.BalanceReply:
    """A balance at an instant."""
    text = found.conversion.text
    accounts = []
    for row in found.owner.accounts:
        total = found.totals.get(row.number)
        by_currency = sorted(total.by_currency.items()) if total else []
        accounts.append(
            cash_pb2.AccountBalance(
                account=account(row), balance=text(total.exact if total else 0),
                by_currency=[money(*each) for each in by_currency], payments=total.payments if total else 0,
            )
        )  # fmt: skip
    return cash_pb2.BalanceReply(
        basis=basis(found.basis), company=owner(found.owner), at_us=found.at_us,
        currency=found.conversion.target, balance=text(found.balance), debt=text(found.debt),
        credit=text(found.credit), payments=sum(total.payments for total in found.totals.values()),
        accounts=accounts, left_out=left_out(found.left_out), future_payments=found.future_payments,
    )  # fmt: skip


def history(found: HistoryFound, *, interval: Interval, currency: str) -> cash_pb2.HistoryReply:
    """A history."""
    return cash_pb2.HistoryReply(
        basis=basis(found.basis), company=owner(found.owner), currency=currency,
        interval=_INTERVALS[interval], buckets=[_bucket(each) for each in found.buckets],
        left_out=left_out(found.left_out),
    )  # fmt: skip


def countries(found: FlowsFound) -> cash_pb2.CountriesReply:
    """What moved by country."""
    rows = [
        cash_pb2.CountryFlow(country=country, flow=flow(moved, found.conversion))
        for country, moved in found.flows
    ]
    return cash_pb2.CountriesReply(countries=rows, **_of_period(found))


def counterparties(found: FlowsFound) -> cash_pb2.CounterpartiesReply:
    """What moved by counterparty."""
    rows = [
        cash_pb2.Counterparty(
            account=account(row), company_id=-1 if row.company_id is None else row.company_id,
            company=row.name or "", flow=flow(moved, found.conversion),
        )
        for row, moved in found.flows
    ]  # fmt: skip
    return cash_pb2.CounterpartiesReply(
        counterparties=rows, counterparties_total=found.count, **_of_period(found)
    )


def flow(moved: Movement, conversion: Conversion) -> cash_pb2.Flow:
    """What moved, both ways."""
    return cash_pb2.Flow(
        cash_in=conversion.text(moved.cash_in), cash_out=conversion.text(moved.cash_out),
        payments_in=moved.payments_in, payments_out=moved.payments_out,
    )  # fmt: skip


def sums(moved: Movement, without_rate: Sequence[LeftOut], conversion: Conversion) -> cash_pb2.Sums:
    """The sums of a selection."""
    internal = moved.internal_in if moved.internal_in else moved.internal_out
    return cash_pb2.Sums(
        payments=moved.payments + sum(each.payments for each in without_rate),
        cash_in=conversion.text(moved.cash_in), cash_out=conversion.text(moved.cash_out),
        internal=conversion.text(internal), net=conversion.text(moved.net), left_out=left_out(without_rate),
    )  # fmt: skip


def transaction(
    leg: Any, accounts: dict[int, Any], conversion: Conversion, *, apart: bool, now_us: int
) -> cash_pb2.Transaction:
    """A payment as one account sees it."""
    credit = leg.flow in (Flow.IN, Flow.INTERNAL_IN)
    internal = leg.flow in (Flow.INTERNAL_IN, Flow.INTERNAL_OUT) and apart
    direction = cash_pb2.INTERNAL if internal else cash_pb2.IN if credit else cash_pb2.OUT
    flags = flag_names(leg.flags) + (["batch_repeat"] if leg.kind == Kind.BATCH_REPEAT else [])
    flags += ["future"] if leg.time_us > now_us + FUTURE_US else []
    has_rate = conversion.has_rate(leg.currency)
    converted = conversion.text(conversion.part(leg.currency, leg.minor)) if has_rate else ""
    return cash_pb2.Transaction(
        id=leg.payment_id, source=cash_pb2.SWIFT if leg.line % 4 >= 2 else cash_pb2.SEPA,
        time_us=leg.time_us, iban=accounts[leg.account].iban, direction=direction, credit=credit,
        money=money(leg.currency, leg.minor), converted=converted,
        counterparty=account(accounts[leg.counterparty]), flags=flags, window=leg.time_us // DAY_US // 5,
    )  # fmt: skip


def set_aside(row: Any) -> cash_pb2.SetAsideRow:
    """A row that is set aside."""
    return cash_pb2.SetAsideRow(
        source=row.source, window=row.window_number, position=row.position, reasons=reason_names(row.reasons),
        id=row.payment_id, payer=row.payer, beneficiary=row.beneficiary, amount=row.amount,
        currency=row.currency, time=row.time, text=row.text,
    )  # fmt: skip


def quality(found: QualityFound) -> cash_pb2.QualityReply:
    """What is unusual."""
    text = found.conversion.text
    return cash_pb2.QualityReply(
        basis=basis(found.basis), company=owner(found.owner) if found.owner else None,
        currency=found.conversion.target, kinds=[_kind(each, found.conversion) for each in found.kinds],
        rounding=[
            cash_pb2.Money(currency=currency, amount=_plain(left_off))
            for currency, left_off in sorted(found.rounding.items())
        ],
        suspicious=[_account(row, facts) for row, facts in found.suspicious],
        balance="" if found.balance is None else text(found.balance),
        balance_with_all="" if found.balance_with_all is None else text(found.balance_with_all),
    )  # fmt: skip


def status(found: StatusFound) -> cash_pb2.StatusReply:
    """How far the bank is followed."""
    state = found.basis.state
    return cash_pb2.StatusReply(
        basis=basis(found.basis), leader=found.leads, dialect=state.dialect, lag_s=found.lag_s,
        sources=[_source(each) for each in found.sources], companies=found.companies,
        accounts=found.accounts,
        set_aside=sum(each.counts.set_aside for each in found.sources if each.counts),
        checked_us=state.checked_us, check_trouble=state.check_trouble, rules_version=RULES_VERSION,
        windows_of_older_rules=found.older_rules,
    )  # fmt: skip


def reclean(step: Step) -> cash_pb2.RecleanReply:
    """How far cleaning anew is."""
    return cash_pb2.RecleanReply(
        windows_done=step.done, windows_total=step.total,
        differences=[cash_pb2.CompanyDifference(**each._asdict()) for each in step.differences],
        done=step.is_done, kept=step.kept,
    )  # fmt: skip


def window(row: Any) -> cash_pb2.Window:
    """A window that is had."""
    from_us, before_us = window_span(row.number)
    return cash_pb2.Window(
        source=row.source, number=row.number, from_us=from_us, before_us=before_us, version=row.version,
        complete=row.is_complete, late=row.is_late, rows=row.rows, payments=row.payments,
        set_aside=row.set_aside, sha256=row.sha256, received_us=row.received_us,
        rules_version=row.rules_version,
    )  # fmt: skip


def left_out(found: Iterable[LeftOut]) -> list[cash_pb2.LeftOut]:
    """What has no rate."""
    return [
        cash_pb2.LeftOut(
            currency=each.currency, amount=_as_paid(each.currency, each.minor), payments=each.payments
        )
        for each in found
    ]


def _of_period(found: FlowsFound) -> dict[str, Any]:
    return {
        "basis": basis(found.basis), "company": owner(found.owner), "currency": found.conversion.target,
        "total": flow(found.total, found.conversion), "left_out": left_out(found.left_out),
    }  # fmt: skip


def _account(row: Any, facts: IbanFacts) -> cash_pb2.Account:
    also_of = [int(each) for each in row.also_of.split(",") if each]
    return cash_pb2.Account(
        iban=row.iban, country=facts.country, bank=facts.bank, suspicious=facts.suspicious, also_of=also_of
    )


def _source(found: SourceFound) -> cash_pb2.SourceStatus:
    counts = found.counts
    return cash_pb2.SourceStatus(
        source=_SOURCES[found.source], complete_to_us=found.complete_to_us,
        windows=counts.windows if counts else 0, windows_missing=len(found.missing),
        missing=gaps(found.missing), windows_late=counts.late if counts else 0,
        windows_changed=counts.changed if counts else 0, payments=counts.payments if counts else 0,
        last_success_us=found.stream.last_success_us, trouble=found.stream.trouble,
        trouble_since_us=found.stream.trouble_since_us, failed_tries=found.failed_tries,
    )  # fmt: skip


def _bucket(found: Bucket) -> cash_pb2.Bucket:
    amounts = {
        name: amount_text(getattr(found, name), TARGET_DECIMALS)
        for name in ("opening", "cash_in", "cash_out", "internal", "closing", "rounding", "lowest")
    }
    day = found.lowest_day
    return cash_pb2.Bucket(
        label=found.span.label, from_us=found.span.from_us, before_us=found.span.before_us,
        lowest_day="" if day is None else (date(1970, 1, 1) + timedelta(days=day)).isoformat(),
        payments=found.payments, **amounts,
    )  # fmt: skip


def _kind(found: KindFound, conversion: Conversion) -> cash_pb2.QualityKind:
    def text(exact: int | None) -> str:
        return "" if exact is None else conversion.text(exact)

    return cash_pb2.QualityKind(
        kind=found.kind, payments=found.payments, cash_in=text(found.cash_in), cash_out=text(found.cash_out),
        set_aside=found.is_set_aside, balance_without=text(found.balance_without),
        balance_with=text(found.balance_with),
    )  # fmt: skip


def _as_paid(currency: str, minor: int) -> str:
    return amount_text(minor, currency_facts(currency).decimals)


def _plain(value: Decimal) -> str:
    return f"{value:f}"
