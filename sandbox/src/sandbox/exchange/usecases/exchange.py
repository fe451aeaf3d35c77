"""The exchange as a whole: one step does all that is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.exchange.domain.faults import Faults
from sandbox.exchange.domain.noise import Noise
from sandbox.exchange.domain.trades import FrameStyle, Trade
from sandbox.exchange.store import AS_SENT, Journal, SentLog
from sandbox.exchange.usecases.delivery import Delivery
from sandbox.exchange.usecases.files import NightlyFiles, WrittenFile
from sandbox.exchange.usecases.listeners import MOST_LISTENERS, DropSchedule, Listener, Listeners
from sandbox.exchange.usecases.trading import Trading
from sandbox.market.flow import OrderFlow
from sandbox.market.hours import local_day
from sandbox.market.prices import Market

MOST_TRADES_PER_STEP = 500  # then connections get their turn, however far behind the exchange is
MOST_TRADES_PER_MIN = 10_000_000
REFUSE_503, REFUSE_RESET = "503", "reset"


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """What an exchange is like."""

    seed: int
    files: Path
    traders: tuple[str, ...]
    style: FrameStyle
    id_prefix: str = "t_"
    trades_per_min: float = 100.0
    keep_trades: int = 2_000_000
    file_final_newline: bool = False
    nightly_file: bool = True
    journal: Path | None = None


class Exchange:
    """Trades, whoever listens, and the faults."""

    def __init__(self, options: ExchangeOptions, *, now: datetime) -> None:
        """Open at ``now``, paused; :meth:`run` starts it."""
        self.counts: Counter[str] = Counter()
        self.sent = SentLog(keep=options.keep_trades)
        self.listeners = Listeners(sent=self.sent, counts=self.counts)
        self._options = options
        self._market = Market(seed=options.seed)
        self._trading = Trading(
            flow=OrderFlow(market=self._market, traders=options.traders),
            style=options.style, seed=options.seed, start=now, id_prefix=options.id_prefix,
        )  # fmt: skip
        self.files = NightlyFiles(
            folder=options.files, style=options.style, final_newline=options.file_final_newline,
            journal=Journal(options.journal) if options.journal else None, own_ids=self._trading.ids,
        )  # fmt: skip
        self._delivery = Delivery(
            listeners=self.listeners, sent=self.sent, style=options.style, seed=options.seed,
            counts=self.counts,
        )  # fmt: skip
        self._drops = DropSchedule()
        self._rate = options.trades_per_min
        self._refusing: tuple[str, datetime | None] | None = None
        self._day = local_day(now)
        self._worst_lag_s = 0.0

    def step(self, now: datetime) -> None:
        """Do all that is due at ``now``: trades, held frames, drops, ends of freezes, the nightly file."""
        self._worst_lag_s = max(self._worst_lag_s, self.lag_s(now))
        for trade in self._trading.due(now, most=MOST_TRADES_PER_STEP):
            self._confirm(trade, now=now)
        self.files.flush()
        self._delivery.release(now=now)
        self._drops.step(self.listeners, self._delivery.faults, now=now)
        self.listeners.thaw_due(now)
        self.listeners.drop_clogged()
        self._close_days(now)

    @property
    def next_due(self) -> datetime | None:
        """When the next order matches; nothing while paused."""
        return self._trading.next_due

    def lag_s(self, now: datetime) -> float:
        """How many simulated seconds the exchange is behind its own schedule."""
        due = self._trading.next_due
        return max(0.0, (now - due).total_seconds()) if due else 0.0

    def prepare(self, now: datetime) -> None:
        """Do beforehand what would make the first trades late."""
        self._market.prepare(now)

    def run(self, *, now: datetime, trades_per_min: float | None = None) -> None:
        """Trade on, at another rate if one is given."""
        if trades_per_min is not None:
            self._rate = trades_per_min
        self._trading.run(trades_per_min=self._rate, now=now)

    def pause(self, *, now: datetime) -> None:
        """No trades until :meth:`run`; connections stay."""
        self._trading.run(trades_per_min=0, now=now)

    def emit(self, *, now: datetime, count: int, file: str = AS_SENT, withhold: bool = False) -> list[Trade]:
        """Exactly ``count`` trades at once; ``withhold`` tells no listener, ``file`` what the file says."""
        trades = self._trading.now(now, count=count)
        for trade in trades:
            self._confirm(trade, now=now, file=file, withhold=withhold)
        self.files.flush()
        return trades

    def send(self, noise: Noise) -> int:
        """Exactly this frame, to everybody, now; it is no trade and in no file. To how many it went."""
        return self._delivery.send_noise(noise)

    def set_faults(self, changes: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
        """Change some faults; all of them as they are then.

        Raises:
            InvalidInput: an unknown name or an impossible value.
        """
        self._delivery.faults = self._delivery.faults.changed(changes)
        if any(name.startswith("drop_") for name in changes):
            self._drops.plan(self._delivery.faults, now=now)
        return self.faults()

    def faults(self) -> dict[str, Any]:
        """All faults as they are."""
        return self._delivery.faults.as_dict()

    def clear_faults(self, *, now: datetime) -> None:
        """Nothing goes wrong any more; what was held back is sent."""
        self.set_faults(Faults().as_dict(), now=now)
        self.listeners.thaw()
        self.accept()
        self._delivery.release(now=now, all_of_them=True)

    def refuse(self, *, how: str, until: datetime | None) -> None:
        """Refuse new connections: ``503`` to the handshake, or ``reset`` before it."""
        self._refusing = (how, until)

    def accept(self) -> None:
        """Accept new connections again."""
        self._refusing = None

    def refusal(self, now: datetime) -> str | None:
        """How a connection coming now is refused, if it is."""
        if self._refusing is not None and self._refusing[1] is not None and self._refusing[1] <= now:
            self._refusing = None
        if self._refusing is not None:
            return self._refusing[0]
        return REFUSE_503 if len(self.listeners) >= MOST_LISTENERS else None

    def refused(self) -> None:
        """One was refused."""
        self.counts["refused"] += 1

    def join(self, listener: Listener, *, now: datetime) -> None:
        """A listener's handshake is done."""
        self.listeners.join(listener, at=now)

    def leave(self, listener: Listener, *, now: datetime) -> None:
        """A listener is gone."""
        self.listeners.leave(listener, at=now)

    def take_back(self, number: int, *, unsent_bytes: int) -> None:
        """What was written last to a listener was cut off with its connection."""
        self.counts["taken_back"] += self.sent.take_back(number, unsent_bytes=unsent_bytes)

    def write_file(self, day: date) -> Future[WrittenFile]:
        """Write a day's file from what was sent so far, beside the work of the exchange."""
        return self.files.write(day, self.sent)

    def stats(self, now: datetime) -> dict[str, Any]:
        """What happened so far, counted."""
        return {
            "trades": self.sent.last_seq,
            "heard": self.sent.heard,
            "unheard": self.sent.last_seq - self.sent.heard,
            "held": self._delivery.held,
            "listeners": len(self.listeners),
            "lag_s": round(self.lag_s(now), 6),
            "worst_lag_s": round(self._worst_lag_s, 6),
            **{name: self.counts[name] for name in COUNTED},
            "frames_by_kind": {
                name.removeprefix("frames: "): count
                for name, count in sorted(self.counts.items())
                if name.startswith("frames: ")
            },
            "files_written": len(self.files.written),
            "drops_left": self._drops.left,
        }

    def state(self, now: datetime) -> dict[str, Any]:
        """How the exchange is at the moment."""
        refusal = self.refusal(now)
        return {
            "now": now.isoformat(),
            "trading_day": local_day(now).isoformat(),
            "seed": self._options.seed,
            "trades_per_min": self._rate,
            "paused": self._trading.next_due is None,
            "refusing": refusal,
            "frozen": self.listeners.frozen,
            "faults": self.faults(),
        }

    def _confirm(self, trade: Trade, *, now: datetime, file: str = AS_SENT, withhold: bool = False) -> None:
        self.sent.add(trade, file=file)
        self.files.note(trade, mark=file)
        if withhold:
            self.counts["withheld"] += 1
        else:
            self._delivery.confirm(trade, now=now)

    def _close_days(self, now: datetime) -> None:
        # A day is over once every trade due in it was made, which may be after midnight on a busy machine.
        done_until = min(now, self._trading.next_due or now)
        while self._day < local_day(done_until):
            if self._options.nightly_file:
                self.write_file(self._day)
            self._day += timedelta(days=1)
            self.files.forget(today=self._day)


COUNTED = (
    "frames", "connections", "duplicated", "reordered", "garbled", "malformed", "unknown", "withheld",
    "drops", "connections_dropped", "connections_frozen", "clogged_dropped", "refused", "taken_back",
)  # fmt: skip
