"""How cash-service is put together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from wattbook import db, rpc
from wattbook.bus.settings import BusSettings
from wattbook.outbox import Relay
from wattbook.service import App, Part, Service, ServiceSettings
from wattbook.settings import setting
from wattbook.startup import await_store
from wattbook_proto import cash_pb2_grpc

from cash_service.api import RULES, CashServicer, cash_event
from cash_service.clients.bank import Bank
from cash_service.clients.dialects import ORIGINAL, WATTBOOK
from cash_service.store.bank import BankStore
from cash_service.store.questions import Questions
from cash_service.store.windows import Windows
from cash_service.usecases.bank_status import BankStatus
from cash_service.usecases.basis import Bases
from cash_service.usecases.companies import Companies
from cash_service.usecases.following import AUTO, Follower, Following, Pace
from cash_service.usecases.quality import Quality
from cash_service.usecases.questions import Answers
from cash_service.usecases.recleaning import Recleaning

NAME = "cash-service"
HANDLERS = 16
_MOST_FOLLOW_S = 86_400


@dataclass(frozen=True)
class Settings(ServiceSettings, db.StoreSettings, BusSettings):
    """The environment of cash-service."""

    store_url: str = setting("WATTBOOK_CASH_STORE_URL", "sqlite:///… or postgresql+psycopg://…", secret=True)
    listen: str = setting("WATTBOOK_CASH_LISTEN", "host:port of gRPC", default="127.0.0.1:8099")
    bank_url: str = setting(
        "WATTBOOK_BANK_URL",
        "the bank's base address; none: nothing is asked, what is had is served",
        default="",
    )
    bank_dialect: str = setting(
        "WATTBOOK_BANK_DIALECT", "how the bank speaks: wattbook, original, or auto to find out", default=AUTO
    )
    bank_token: str = setting(
        "WATTBOOK_BANK_TOKEN", "the bearer token that the bank wants; none: nothing", default="", secret=True
    )
    keep_days: float = setting(
        "WATTBOOK_BANK_KEEP_DAYS", "days for which a window's replaced content is kept", default=7.0
    )
    follow_s: float = setting(
        "WATTBOOK_BANK_FOLLOW_S", "seconds between two looks at the open window", default=60.0
    )

    def problems(self) -> list[str]:
        """What is wrong with them, a line each."""
        problems = []
        if self.bank_url and not self.bank_url.startswith(("http://", "https://")):
            problems.append(f"WATTBOOK_BANK_URL: {self.bank_url!r} is no http address")
        if self.bank_dialect not in (AUTO, WATTBOOK, ORIGINAL):
            problems.append(
                f"WATTBOOK_BANK_DIALECT: {self.bank_dialect!r} is none of auto, wattbook, original"
            )
        if not 0 <= self.keep_days <= 3_650:
            problems.append(f"WATTBOOK_BANK_KEEP_DAYS: {self.keep_days:g} is not in 0…3650")
        if not 0 < self.follow_s <= _MOST_FOLLOW_S:
            problems.append(f"WATTBOOK_BANK_FOLLOW_S: {self.follow_s:g} is not above 0 and at most 86400")
        return problems + super().problems()


def build(settings: Settings, *, stopping: threading.Event | None = None) -> App:
    """Everything wired; see :class:`wattbook.service.Build`."""
    clock = settings.desk_clock()
    server = rpc.Server.of(NAME, settings, settings.listen, workers=HANDLERS)
    store = await_store(
        settings.store_url, name="cash", package="cash_service", settings=settings, alive=server.alive,
        stopping=stopping,
    )  # fmt: skip
    bus = settings.open_bus()
    relay = Relay(store, bus)
    relay.watch(clock)
    announce, questions = cash_event(clock), Questions(store)
    bank_store, windows = BankStore(store, announce=announce), Windows(store, announce=announce)
    bases = Bases(questions, clock)
    parts: list[Part] = []
    closing: list[Callable[[], None]] = []
    follower: Follower | None = None
    if settings.bank_url:
        bank = Bank(url=settings.bank_url, token=settings.bank_token)
        follower = Follower(
            bank=bank, store=bank_store, windows=windows, clock=clock, holder=uuid4().hex,
            dialect=settings.bank_dialect, committed=relay.notify,
            pace=Pace.of(follow_s=settings.follow_s, keep_days=settings.keep_days),
        )  # fmt: skip
        parts.append(Following(follower))
        closing.append(bank.close)

    def leads() -> bool:
        return follower is not None and follower.leads

    answers = Answers(questions, bases)
    servicer = CashServicer(
        answers=answers, companies=Companies(questions, bases, answers),
        quality=Quality(questions, bases, answers), status=BankStatus(questions, bases, leads=leads),
        recleaning=Recleaning(questions, bases, bank_store, windows, committed=relay.notify),
    )  # fmt: skip
    server.register(cash_pb2_grpc.add_CashServicer_to_server, servicer, rules=RULES)
    return App(store=store, bus=bus, relay=relay, server=server, parts=parts, closing=closing)


main = Service(NAME, Settings, build).main

if __name__ == "__main__":
    main()
