"""A stand-in for cash-service: company 7 with two accounts and five payments, and what it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wattbook.errors import InvalidInput, NotFound, Unavailable
from wattbook_proto import cash_pb2, cash_pb2_grpc

DAY_US = 86_400_000_000
JAN_US = 1_609_459_200_000_000  # 2021-01-01
OWN = ("NL91ABNA0417164300", "DE89370400440532013000")
NAME = '=HYPERLINK("x")\n<b>Mühle, Söhne</b>'


class FakeCash(cash_pb2_grpc.CashServicer):
    """Remembers the requests; ``data_version`` and ``confirmed_us`` are a test's to change."""

    def __init__(self) -> None:
        self.down = False
        self.data_version = 12
        self.confirmed_us = JAN_US
        self.asked: list[Any] = []
        self.payments = [_payment(number) for number in range(5)]

    def Companies(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._hear(request)
        found = [
            _summary(number) for number in (7, 8, 9) if request.query.lower() in f"{NAME} {number}".lower()
        ]
        after = _place(request.cursor)
        page = found[after : after + request.limit]
        more = str(after + len(page)) if after + len(page) < len(found) else ""
        return cash_pb2.CompaniesReply(basis=self._basis(), companies=page, next_cursor=more)

    def Company(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._known(request, request.id)
        return cash_pb2.CompanyReply(
            basis=self._basis(), company=_summary(7), accounts=[_account(iban) for iban in OWN],
            first_payment_us=0, last_payment_us=JAN_US,
        )  # fmt: skip

    def Balance(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._known(request, request.company_id)
        return cash_pb2.BalanceReply(
            basis=self._basis(), company=_summary(7),
            at_us=request.at_us if request.HasField("at_us") else JAN_US + len(self.asked),
            currency=request.currency or "EUR", balance="900.10", debt="-100.00", credit="1000.10",
            payments=5,
            accounts=[
                cash_pb2.AccountBalance(
                    account=_account(OWN[0]), balance="1000.10", payments=4,
                    by_currency=[cash_pb2.Money(currency="JPY", amount="133180")],
                ),
                cash_pb2.AccountBalance(account=_account(OWN[1]), balance="-100.00", payments=1),
            ],
            left_out=[cash_pb2.LeftOut(currency="SGP", amount="-3.00", payments=1)], future_payments=2,
        )  # fmt: skip

    def History(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._known(request, request.company_id, request.iban)
        bucket = cash_pb2.Bucket(
            label="2021-01", from_us=request.from_us, before_us=request.before_us, opening="0.00",
            cash_in="1000.10", cash_out="100.00", internal="5.00", closing="900.10", rounding="0.00",
            lowest="-20.00", lowest_day="2021-01-03", payments=5,
        )  # fmt: skip
        return cash_pb2.HistoryReply(
            basis=self._basis(), company=_summary(7), currency=request.currency or "EUR",
            interval=request.interval, buckets=[bucket],
        )  # fmt: skip

    def Countries(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._known(request, request.company_id, request.iban)
        flows = [cash_pb2.CountryFlow(country=country, flow=_flow()) for country in ("DE", "")]
        return cash_pb2.CountriesReply(
            basis=self._basis(), company=_summary(7), currency="EUR", countries=flows, total=_flow()
        )

    def Counterparties(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._known(request, request.company_id, request.iban)
        found = [
            cash_pb2.Counterparty(account=_account("FR76"), company_id=-1, flow=_flow()),
            cash_pb2.Counterparty(account=_account("GB29"), company_id=8, company=NAME, flow=_flow()),
        ]
        return cash_pb2.CounterpartiesReply(
            basis=self._basis(), company=_summary(7), currency="EUR", counterparties=found,
            counterparties_total=2, total=_flow(),
        )  # fmt: skip

    def Transactions(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self._known(request, request.company_id, request.iban)
        after = _place(request.cursor)
        last = min(after + (request.limit or len(self.payments)), len(self.payments))
        sums = cash_pb2.Sums(payments=5, cash_in="1000.10", cash_out="100.00", internal="0.00", net="900.10")
        for start in range(after, last, 2):
            page = cash_pb2.TransactionPage(
                basis=self._basis(), currency=request.currency or "EUR",
                transactions=self.payments[start : min(start + 2, last)],
                sums=sums if start == after and not request.without_sums else None,
                next_cursor=str(last) if start + 2 >= last and last < len(self.payments) else "",
            )  # fmt: skip
            yield page

    def SetAside(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._known(request, 7 if request.all_companies else request.company_id)
        row = cash_pb2.SetAsideRow(
            source=cash_pb2.SWIFT, window=3725, position=3, reasons=["invalid_iban", "batch"], id="b",
            payer="ZZ1", beneficiary=OWN[0], amount="1e3", currency="EUR", time="2021-01-02",
        )  # fmt: skip
        return cash_pb2.SetAsideReply(basis=self._basis(), rows=[row])

    def Quality(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._known(request, 7 if request.all_companies else request.company_id)
        kind = cash_pb2.QualityKind(
            kind="batch", payments=4, cash_in="10.00", cash_out="0.00", set_aside=True,
            balance_without="900.10", balance_with="910.10",
        )  # fmt: skip
        reply = cash_pb2.QualityReply(basis=self._basis(), currency=request.currency or "EUR", kinds=[kind])
        if not request.all_companies:
            reply.company.CopyFrom(_summary(7))
            reply.balance, reply.balance_with_all = "900.10", "910.10"
        return reply

    def Status(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._hear(request)
        source = cash_pb2.SourceStatus(
            source=cash_pb2.SEPA, complete_to_us=JAN_US, windows=3, windows_missing=1, trouble="half a body",
            trouble_since_us=JAN_US, failed_tries={"cut off": 2}, payments=5,
        )  # fmt: skip
        return cash_pb2.StatusReply(
            basis=self._basis(), leader=True, dialect="wattbook", lag_s=1.5, sources=[source], companies=3,
            accounts=6, set_aside=4,
        )  # fmt: skip

    def Windows(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._hear(request)
        window = cash_pb2.Window(
            source=cash_pb2.SWIFT, number=3725, from_us=JAN_US, before_us=JAN_US + 5 * DAY_US, version=2,
            complete=True, rows=9, payments=5, set_aside=4, sha256="ab", received_us=JAN_US,
        )  # fmt: skip
        return cash_pb2.WindowsReply(basis=self._basis(), windows=[window])

    def Reclean(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self._hear(request)
        yield cash_pb2.RecleanReply(windows_done=1, windows_total=2)
        difference = cash_pb2.CompanyDifference(
            company_id=7, name=NAME, payments_before=5, payments_after=6, balance_before="900.10",
            balance_after="901.00",
        )  # fmt: skip
        yield cash_pb2.RecleanReply(
            windows_done=2, windows_total=2, done=True, kept=request.keep, differences=[difference]
        )

    def _hear(self, request: Any) -> None:
        if self.down:
            raise Unavailable("the store cannot read now")
        self.asked.append(request)

    def _known(self, request: Any, company_id: int, iban: str = "") -> None:
        self._hear(request)
        if company_id != 7:
            raise NotFound(f"there is no company {company_id}")
        if iban and iban not in OWN:
            raise InvalidInput(f"account: {iban} is no account of company 7")

    def _basis(self) -> cash_pb2.Basis:
        gap = cash_pb2.Gap(source=cash_pb2.SEPA, from_us=JAN_US, before_us=JAN_US + 5 * DAY_US)
        rates = cash_pb2.Rates(
            version=3, received_us=JAN_US, confirmed_us=self.confirmed_us, reading=cash_pb2.QUOTED,
            warning="two currencies agree",
        )  # fmt: skip
        return cash_pb2.Basis(
            data_version=self.data_version,
            complete_to_us=JAN_US,
            windows_missing=1,
            missing=[gap],
            rates=rates,
        )


def _place(cursor: str) -> int:
    if not cursor:
        return 0
    if not cursor.isdigit():
        raise InvalidInput("cursor: follow the Link header unchanged")
    return int(cursor)


def _summary(number: int) -> cash_pb2.CompanySummary:
    stated = cash_pb2.Money(currency="EUR", amount="901.00")
    return cash_pb2.CompanySummary(id=number, name=NAME, owner="O", accounts=2, stated_balance=stated)


def _account(iban: str) -> cash_pb2.Account:
    return cash_pb2.Account(iban=iban, country=iban[:2], bank="Bänk", suspicious=["length"])


def _flow() -> cash_pb2.Flow:
    return cash_pb2.Flow(cash_in="1000.10", cash_out="100.00", payments_in=4, payments_out=1)


def _payment(number: int) -> cash_pb2.Transaction:
    return cash_pb2.Transaction(
        id=f"=p,{number}", source=cash_pb2.SWIFT, time_us=JAN_US + number * DAY_US, iban=OWN[0],
        direction=cash_pb2.IN if number else cash_pb2.OUT, credit=bool(number),
        money=cash_pb2.Money(currency="JPY" if number < 4 else "SGP", amount="1331"),
        converted="10.00" if number < 4 else "", counterparty=_account("FR76"), flags=["rounded"],
        window=3725,
    )  # fmt: skip
