"""Stand-ins for what report-service calls: the book, prices, the exchange's feed, the gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from report_service.domain.book import Book, Booking, Cell, CellKey, Event, Head, Link, Page
from report_service.domain.corrections import Correction as Corrected
from report_service.domain.corrections import CorrectionPage, Differing, DifferingPage
from report_service.domain.effects import PeriodTrade
from report_service.domain.feed import Difference, Listener, TradingDay, WaitingFile
from report_service.domain.feed import Feed as ExchangeFeed
from report_service.domain.prices import DayKey, DayPrices, PollerState, ReferencePrice
from report_service.domain.quarantine import Quarantined, QuarantinePage
from wattbook.auth.people import Person, Tokens
from wattbook.auth.revocations import Session
from wattbook.bus import Delivery, Message
from wattbook.clock import FakeClock, from_epoch_s, to_epoch_us
from wattbook.errors import Conflict, InvalidInput, NotFound, Unauthenticated, Unavailable, WattbookError
from wattbook.periods import DeliveryPeriod, hour_of
from wattbook_proto import events_pb2, prices_pb2, prices_pb2_grpc, trades_pb2

DAY = date(2023, 2, 28)
NOW = datetime(2023, 2, 28, 13, 3, 7, tzinfo=UTC)


def start_s(day: date, hour: int, *, area: str = "DE") -> int:
    """The start of a local hour; of a doubled one, the first."""
    return to_epoch_us(hour_of(area, day, hour)[0].start) // 1_000_000


def booking(
    seq: int,
    *,
    buy: bool = True,
    mw: float = 1,
    eur: float = 10,
    hour: int = 14,
    day: date = DAY,
    trader: str = "trader_1",
    area: str = "DE",
    minutes: int = 60,
    offset_s: int = 0,
    id: str = "",
) -> Booking:
    """A booking in the words of a trader: MW and EUR/MWh."""
    start = start_s(day, hour, area=area) + offset_s
    executed_us = 1_677_582_000_000_000 + seq
    return Booking(
        seq,
        trader,
        area,
        start,
        minutes,
        buy,
        round(mw * 1000),
        round(eur * 100),
        executed_us,
        id or f"t_{seq}",
    )


def price(
    hour: int, value: str, *, at_s: int = 1_677_580_000, seq: int = 1, day: date = DAY
) -> ReferencePrice:
    """A reference price of a local hour, fetched a second after its update at ``at_s``."""
    return ReferencePrice(
        "DE", start_s(day, hour), 60, Decimal(value), at_s * 1_000_000, (at_s + 1) * 1_000_000, seq
    )


def day_prices(*prices: ReferencePrice) -> DayPrices:
    """A day with these prices."""
    return DayPrices({each.delivery_start_s: each for each in prices})


def recomputed(bookings: Sequence[Booking], *, replaced: Mapping[int, int] | None = None) -> Book:
    """The book's sums, made the slow and obvious way; without contents that were ``replaced``, by number."""
    last_seq = len(bookings)
    cells: dict[CellKey, Cell] = {}
    for each in bookings:
        if (replaced or {}).get(each.seq, last_seq + 1) > last_seq:
            cells.setdefault(each.key, Cell()).add(each)
    return Book(last_seq=last_seq, cells=cells.items())


class FakeTradeBook:
    """A book in memory, with trade-service's promises: gapless numbers, consistent snapshots, a chain."""

    def __init__(self, bookings: Sequence[Booking] = ()) -> None:
        self.bookings = list(bookings)
        self.replaced: dict[int, int] = {}
        self.epoch = "first"
        self.is_away = False
        self.calls: list[str] = []
        self.flags: dict[str, tuple[str, ...]] = {}
        self.never_stated: tuple[Difference, ...] | None = ()  # None: cannot be asked
        self.during_snapshot = lambda: None

    def book(self, *bookings: Booking) -> None:
        for each in bookings:
            assert each.seq == len(self.bookings) + 1
            self.bookings.append(each)

    def correct(self, seq: int, by: Booking) -> Booking:
        """Replace what is booked under a number; the booking that does."""
        correction = by._replace(replaced=self.bookings[seq - 1].key)
        self.book(correction)
        self.replaced[seq] = correction.seq
        return correction

    def digest(self, seq: int) -> str:
        """After a number; each booking is a commit of its own."""
        return f"{seq}: {' '.join(each.id for each in self.bookings[:seq])}"

    def event(self, *bookings: Booking, **changes: Any) -> Event:
        """One commit's event, with its link."""
        before_seq, after_seq = bookings[0].seq - 1, bookings[-1].seq
        link = Link(self.epoch, before_seq, self.digest(before_seq), after_seq, self.digest(after_seq))
        return Event(bookings, link._replace(**changes))

    def snapshot(self) -> Book:
        self._called("snapshot")
        taken = recomputed(self.bookings, replaced=self.replaced)
        taken.epoch, taken.digest = self.epoch, self.digest(taken.last_seq)
        self.during_snapshot()
        return taken

    def after(self, known: Head, *, limit: int = 0) -> Iterator[Page]:
        self._called(f"after {known.seq}")
        last_seq = len(self.bookings)
        head = Head(self.epoch, last_seq, self.digest(last_seq))
        diverged = (
            known.seq > last_seq
            or known.epoch not in ("", self.epoch)
            or known.digest not in ("", self.digest(known.seq))
        )
        found = self.bookings[known.seq :]
        yield Page([] if diverged else found[:limit] if limit else found, head, diverged=diverged)

    def cells(self, keys: Iterable[CellKey], *, as_of_seq: int) -> dict[CellKey, Cell | None]:
        self._called(f"cells as of {as_of_seq}")
        book = recomputed(self.bookings[:as_of_seq], replaced=self.replaced)
        return {key: book.cell(key) for key in keys}

    def of_period(self, *, trader_id: str, period: DeliveryPeriod, limit: int) -> list[PeriodTrade]:
        self._called(f"trades of {trader_id} {period.label}")
        from_s, until_s = (to_epoch_us(each) // 1_000_000 for each in (period.start, period.end))
        found = [
            each
            for each in self.bookings
            if (each.trader_id, each.area) == (trader_id, period.area)
            and from_s <= each.delivery_start_s < until_s
        ]
        return [PeriodTrade(each, self.flags.get(each.id, ())) for each in found[:limit]]

    def unconfirmed(self, day: date) -> tuple[Difference, ...]:
        if self.never_stated is None:
            raise Unavailable("a service is not reachable; try again")
        return self.never_stated

    def _called(self, what: str) -> None:
        if self.is_away:
            raise Unavailable("a service is not reachable; try again")
        self.calls.append(what)


class FakeSubscription:
    """A subscription without a group: what is published after it opened, in order."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._arrived = threading.Condition()
        self.is_closed = False

    def publish(self, message: Message) -> None:
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify_all()

    def receive(self, *, timeout_s: float, most: int = 100) -> list[Delivery]:
        with self._arrived:
            self._arrived.wait_for(lambda: self._messages, timeout_s)
            taken, self._messages = self._messages[:most], self._messages[most:]
        return [Delivery(message, 1, index) for index, message in enumerate(taken)]

    def ack(self, deliveries: Sequence[Delivery]) -> None: ...

    def retry(self, delivery: Delivery, reason: str) -> None: ...

    def close(self) -> None:
        self.is_closed = True


def contract_trade(each: Booking) -> trades_pb2.BookedTrade:
    """A booking as trade-service states it."""
    return trades_pb2.BookedTrade(
        booking_seq=each.seq,
        id=each.id,
        price_ct_per_mwh=each.price_ct_per_mwh,
        quantity_kw=each.quantity_kw,
        direction=trades_pb2.BUY if each.is_buy else trades_pb2.SELL,
        area=each.area,
        delivery_start_s=each.delivery_start_s,
        delivery_minutes=each.delivery_minutes,
        trader_id=each.trader_id,
        execution_time_us=each.execution_time_us,
    )


def booked(*bookings: Booking, version: int = 1) -> Message:
    """The event of one commit."""
    body = events_pb2.TradesBooked(trades=[contract_trade(each) for each in bookings])
    return Message("trade.booked", body.SerializeToString(), NOW, version=version)


class FakeGateway:
    """Where people sign in: who they are by password, with tokens that count up."""

    def __init__(self, clock: FakeClock, **people: Person) -> None:
        self._clock = clock
        self.people = people
        self.password = "correct horse"
        self.refusal: WattbookError | None = None
        self.issued = 0
        self.lasts_s = 3600
        self._owners: dict[str, str] = {}
        self.used: set[str] = set()
        self.revoked: list[str] = []
        self.addresses: list[str] = []

    def tokens_for(self, *, name: str, password: str, address: str) -> Tokens:
        self._maybe_refuse()
        self.addresses.append(address)
        if name not in self.people or password != self.password:
            raise Unauthenticated("no")
        return self._issue(name, Session(f"session-{self.issued + 1}", 0))

    def renewed(self, tokens: Tokens, *, address: str) -> Tokens:
        self._maybe_refuse()
        self.addresses.append(address)
        if tokens.refresh in self.used:
            raise Unauthenticated("used before")
        self.used.add(tokens.refresh)
        return self._issue(self._owners[tokens.refresh], tokens.session)

    def revoke(self, tokens: Tokens) -> None:
        self._maybe_refuse()
        self.revoked.append(tokens.refresh)

    def person_of(self, tokens: Tokens) -> Person:
        self._maybe_refuse()
        return self.people[self._owners[tokens.refresh]]

    def _issue(self, name: str, session: Session | None) -> Tokens:
        self.issued += 1
        refresh = f"refresh-{self.issued}"
        self._owners[refresh] = name
        now_s = to_epoch_us(self._clock.now()) // 1_000_000
        return Tokens(f"access-{self.issued}", refresh, now_s + self.lasts_s, session)

    def _maybe_refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal


class FakePriceOwner:
    """Prices in memory, with pricing-service's promises: gapless numbers, a Day includes all it announced."""

    def __init__(self) -> None:
        self.prices: list[ReferencePrice] = []
        self.is_away = False
        self.calls: list[str] = []
        self.watched: list[int] = []
        self.poller = PollerState(minute_budget_left=50, hour_budget_left=1000)
        self.during_day = lambda: None

    def publish(self, hour: int, value: str, *, at_s: int, day: date = DAY) -> ReferencePrice:
        made = price(hour, value, at_s=at_s, seq=len(self.prices) + 1, day=day)
        self.prices.append(made)
        return made

    def day(self, key: DayKey) -> tuple[list[ReferencePrice], int]:
        self._called(f"day {key.day}")
        starts = {start_s(key.day, hour) for hour in range(24)}
        newest: dict[int, ReferencePrice] = {}
        for each in self.prices:
            if each.delivery_start_s in starts:
                newest[each.delivery_start_s] = each
        answer = list(newest.values()), len(self.prices)
        self.during_day()
        return answer

    def history(self, period: DeliveryPeriod) -> list[ReferencePrice]:
        self._called(f"history {period.label}")
        start = to_epoch_us(period.start) // 1_000_000
        return [each for each in self.prices if each.delivery_start_s == start]

    def watch(self, area: str, starts_s: Sequence[int]) -> None:
        self._called(f"watch {area}")
        self.watched = list(starts_s)

    def state(self) -> PollerState:
        self._called("state")
        return self.poller

    def _called(self, what: str) -> None:
        if self.is_away:
            raise Unavailable("a service is not reachable; try again")
        self.calls.append(what)


class FakePrices(prices_pb2_grpc.PricesServicer):
    """The same behind pricing-service's contract, to be called over gRPC."""

    def __init__(self, owner: FakePriceOwner) -> None:
        self._owner = owner

    def Day(self, request: prices_pb2.DayRequest, context: object) -> prices_pb2.DayReply:  # noqa: N802
        try:
            day = date.fromisoformat(request.delivery_day)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        prices, as_of_seq = self._owner.day(DayKey(request.area or "DE", day))
        return prices_pb2.DayReply(prices=[contract_price(each) for each in prices], as_of_seq=as_of_seq)

    def History(  # noqa: N802
        self, request: prices_pb2.HistoryRequest, context: object
    ) -> prices_pb2.HistoryReply:
        start = from_epoch_s(request.delivery_start_s)
        found = self._owner.history(DeliveryPeriod(request.area, start, request.delivery_minutes))
        return prices_pb2.HistoryReply(prices=[contract_price(each) for each in found])

    def Watch(self, request: prices_pb2.WatchRequest, context: object) -> prices_pb2.WatchReply:  # noqa: N802
        self._owner.watch(request.area, request.delivery_start_s)
        return prices_pb2.WatchReply()

    def Status(self, request: prices_pb2.StatusRequest, context: object) -> prices_pb2.StatusReply:  # noqa: N802
        found = self._owner.state()
        return prices_pb2.StatusReply(
            minute_budget_left=found.minute_budget_left,
            hour_budget_left=found.hour_budget_left,
            trouble=found.trouble,
        )


def contract_price(each: ReferencePrice) -> prices_pb2.ReferencePrice:
    """A price as pricing-service states it."""
    return prices_pb2.ReferencePrice(
        area=each.area,
        delivery_start_s=each.delivery_start_s,
        delivery_minutes=each.delivery_minutes,
        value_eur_per_mwh=str(each.value_eur_per_mwh),
        last_update_us=each.last_update_us,
        fetched_time_us=each.fetched_us,
        price_seq=each.seq,
    )


def updated(*prices: ReferencePrice, version: int = 1) -> Message:
    """The event of one fetch."""
    body = events_pb2.PricesUpdated(prices=[contract_price(each) for each in prices])
    return Message("price.updated", body.SerializeToString(), NOW, version=version)


class FakeFeedOwner:
    """The feed in memory, with ingest-service's promises: one clock for all its times."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.is_away = False
        self.calls: list[str] = []
        self.listeners = [
            Listener("ws://exchange", is_connected=True, since_us=self.us(-60), last_frame_us=self.us())
        ]
        self.quarantined = 0
        self.files_waiting: tuple[WaitingFile, ...] = ()
        self.days: dict[date, TradingDay] = {}

    def us(self, seconds: float = 0) -> int:
        """Microseconds since 1970, so many seconds from now."""
        return to_epoch_us(self._clock.now()) + int(seconds * 1_000_000)

    def now(self, **changes: object) -> None:
        """Let the first listener be otherwise."""
        self.listeners[0] = replace(self.listeners[0], **changes)  # type: ignore[arg-type]

    def status(self) -> ExchangeFeed:
        self._called("status")
        return ExchangeFeed(
            tuple(self.listeners), frames=7, quarantined=self.quarantined, last_trade_us=self.us(),
            lag_us=200_000, now_us=self.us(), files_waiting=self.files_waiting,
        )  # fmt: skip

    def trading_day(self, day: date) -> TradingDay:
        self._called(f"day {day}")
        return self.days.get(day, TradingDay(day))

    def _called(self, what: str) -> None:
        if self.is_away:
            raise Unavailable("a service is not reachable; try again")
        self.calls.append(what)


class FakeQuarantine:
    """What the gateway keeps of the quarantine, two a page; remembers who decided, by access token."""

    def __init__(self) -> None:
        self.items: dict[int, Quarantined] = {}
        self.asked_by: list[str] = []
        self.is_away = False
        self.away: tuple[int, ...] = ()  # nodes that do not answer
        self.is_mended = True

    def add(self, reason: str = "no JSON", frame: bytes = b"{", **more: object) -> int:
        """One more that waits; its number."""
        number = len(self.items) + 1
        self.items[number] = Quarantined(
            number, "open", reason, "ws://exchange", NOW, frame=frame, **more  # type: ignore[arg-type]
        )  # fmt: skip
        return number

    def page(self, tokens: Tokens, *, state: str, before: str) -> QuarantinePage:
        self._called(tokens)
        _, _, last = before.partition("-")
        found = [
            replace(each, frame=None)
            for number, each in sorted(self.items.items(), reverse=True)
            if state in ("", each.state) and (not last or number < int(last))
        ]
        still_open = sum(each.state == "open" for each in self.items.values())
        following = f"0-{found[1].number}" if len(found) > 2 else ""
        return QuarantinePage(tuple(found[:2]), still_open, following, self.away)

    def show(self, tokens: Tokens, number: int) -> Quarantined:
        self._called(tokens)
        if number not in self.items:
            raise NotFound(f"nothing is quarantined under the number {number}")
        return self.items[number]

    def replay(self, tokens: Tokens, number: int, *, trader_id: str = "") -> Quarantined:
        item = self.show(tokens, number)
        if trader_id:
            item = replace(item, reason=f"{item.reason} (booked for {trader_id})")
        if item.state == "dropped":
            raise Conflict(f"{number} was dropped by {item.decided_by}")
        made = replace(item, state="replayed") if self.is_mended else replace(item, reason="still no JSON")
        return self._decided(made, tokens)

    def drop(self, tokens: Tokens, number: int, *, reason: str) -> Quarantined:
        item = self.show(tokens, number)
        return self._decided(
            replace(item, state="dropped", reason=f"{item.reason} (dropped: {reason})"), tokens
        )

    def _decided(self, item: Quarantined, tokens: Tokens) -> Quarantined:
        self.items[item.number] = replace(item, decided_by=tokens.access, decided=NOW)
        return self.items[item.number]

    def _called(self, tokens: Tokens) -> None:
        if self.is_away:
            raise Unavailable("the gateway cannot be reached")
        self.asked_by.append(tokens.access)


class FakeCorrections:
    """What the gateway tells of corrections, two a page; remembers what was accepted and by whose token."""

    def __init__(self) -> None:
        self.items: list[Corrected] = []
        self.waiting: list[Differing] = []
        self.accepted: list[tuple[str, str]] = []

    def page(self, tokens: Tokens, *, before: int) -> CorrectionPage:
        found = [each for each in reversed(self.items) if not before or each.number < before]
        return CorrectionPage(tuple(found[:2]), found[1].number if len(found) > 2 else 0)

    def differing(self, tokens: Tokens, *, trade_id: str, after: int) -> DifferingPage:
        found = [each for each in self.waiting if trade_id in ("", each.trade_id) and each.number > after]
        return DifferingPage(tuple(found[:2]), found[1].number if len(found) > 2 else 0)

    def accept(self, tokens: Tokens, content: str) -> None:
        for each in self.waiting:
            if content in (each.stated.json, each.booked.json):
                self.waiting.remove(each)
                self.accepted.append((tokens.access, content))
                return
        raise Conflict("the exchange has not stated it so")
