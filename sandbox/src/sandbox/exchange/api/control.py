"""The control endpoint: what was sent, counted, and every fault on demand. All seconds are simulated."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import date, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from wattbook.clock import Clock
from wattbook.errors import InvalidInput
from wattbook.periods import DEFAULT_AREA, day_bounds

from sandbox.control import answer, body_of, control_app, in_range, one_of, whole_number
from sandbox.exchange.domain.faults import HOWS, WHOS
from sandbox.exchange.domain.noise import Noise
from sandbox.exchange.domain.trades import Trade, shown
from sandbox.exchange.store import AS_SENT, FILE_MARKS
from sandbox.exchange.usecases import Exchange
from sandbox.exchange.usecases.exchange import MOST_TRADES_PER_MIN, REFUSE_503, REFUSE_RESET
from sandbox.exchange.usecases.files import WrittenFile
from sandbox.market.hours import local_day

_MOST_IDS = 100_000
_MOST_TRADES = 10_000
_MOST_EMITTED = 100_000
_LONGEST_S = 10 * 366 * 86_400.0
_FILE_S = 60.0


class ExchangeControl:
    """Handlers of the exchange's control endpoint."""

    def __init__(self, exchange: Exchange, *, clock: Clock) -> None:
        """Control ``exchange``."""
        self._exchange = exchange
        self._clock = clock

    def app(self) -> Starlette:
        """The application that serves them."""
        return control_app(
            "exchange",
            [
                ("GET", "/control/state", self.state, "rate, refusal, freezes, faults as they are"),
                ("GET", "/control/stats", self.stats, "counts of everything so far"),
                ("GET", "/control/sent", self.sent, "trades and to how many listeners each went: "
                 "?after_seq= &limit= &connection= &listeners=<at least> &ids=true"),
                ("GET", "/control/connections", self.connections, "every connection and its frames"),
                ("GET", "/control/files", self.files, "nightly files written"),
                ("POST", "/control/rate", self.rate, '{"trades_per_min": 100}'),
                ("POST", "/control/pause", self.pause, "no trades"),
                ("POST", "/control/resume", self.resume, "trades again"),
                ("POST", "/control/emit", self.emit, '{"count": 1, "file": "as_sent"|"missing"|"different", '
                 '"withhold": false} exactly so many trades now'),
                ("POST", "/control/frame", self.frame, '{"text": "…"} or {"json": …} or {"base64": "…"}: '
                 "exactly this frame to everybody now (base64: binary)"),
                ("POST", "/control/nightly-file", self.nightly_file, '{"day": "YYYY-MM-DD"} default today'),
                ("GET", "/control/faults", self.faults, "faults as they are"),
                ("POST", "/control/faults", self.set_faults, '{"duplicate_rate": 0.01, …} change some'),
                ("DELETE", "/control/faults", self.clear_faults, "nothing goes wrong any more"),
                ("POST", "/control/drop", self.drop, '{"who": "all"|"one", "how": "abort"|"close"} now'),
                ("POST", "/control/freeze", self.freeze, '{"who": "all"|"one", "for_s": null, '
                 '"pongs": false, "newcomers": false}'),
                ("POST", "/control/thaw", self.thaw, "end every freeze"),
                ("POST", "/control/refuse", self.refuse, '{"how": "503"|"reset", "for_s": null}'),
                ("POST", "/control/accept", self.accept, "accept connections again"),
            ],
        )  # fmt: skip

    async def state(self, _: Request) -> Response:
        """How it is."""
        return answer(self._exchange.state(self._clock.now()))

    async def stats(self, _: Request) -> Response:
        """What happened."""
        return answer(self._exchange.stats(self._clock.now()))

    async def sent(self, request: Request) -> Response:
        """Which trades went out, to how many."""
        query = request.query_params
        ids_only = query.get("ids", "false") == "true"
        most = _MOST_IDS if ids_only else _MOST_TRADES
        limit = whole_number(query, "limit", default=1000, low=1, high=most)
        page = self._exchange.sent.page(
            after_seq=whole_number(query, "after_seq", default=0, low=0, high=2**62),
            limit=limit,
            connection=_connection(query.get("connection")),
            least_listeners=whole_number(query, "listeners", default=0, low=0, high=65535),
        )
        trades = [trade.id if ids_only else _line(trade, *counts) for trade, *counts in page]
        next_after_seq = page[-1][0].seq if len(page) == limit else None
        last_seq = self._exchange.sent.last_seq
        return answer({"trades": trades, "next_after_seq": next_after_seq, "last_seq": last_seq})

    async def connections(self, _: Request) -> Response:
        """Who was connected when, and how many frames each got."""
        known = self._exchange.sent.connections()
        return answer(
            [
                {
                    "connection": each.number,
                    "since": each.since.isoformat(),
                    "until": each.until.isoformat() if each.until else None,
                    "ended_by": each.ended_by or None,
                    "frames": each.frames,
                    "trades": len(set(each.seqs) - {0}),
                }
                for each in known
            ]
        )

    async def files(self, _: Request) -> Response:
        """Which files were written."""
        return answer([_file(written) for written in self._exchange.files.written])

    async def rate(self, request: Request) -> Response:
        """Change the rate."""
        body = await body_of(request, trades_per_min=100.0)
        rate = in_range("trades_per_min", body["trades_per_min"], 0, MOST_TRADES_PER_MIN)
        self._exchange.run(now=self._clock.now(), trades_per_min=rate)
        return answer(self._exchange.state(self._clock.now()))

    async def pause(self, _: Request) -> Response:
        """Stop trading."""
        self._exchange.pause(now=self._clock.now())
        return answer(self._exchange.state(self._clock.now()))

    async def resume(self, _: Request) -> Response:
        """Trade on."""
        self._exchange.run(now=self._clock.now())
        return answer(self._exchange.state(self._clock.now()))

    async def emit(self, request: Request) -> Response:
        """Trades now."""
        body = await body_of(request, count=1, file=AS_SENT, withhold=False)
        count = int(in_range("count", body["count"], 1, _MOST_EMITTED))
        file = one_of("file", body["file"], FILE_MARKS)
        trades = self._exchange.emit(now=self._clock.now(), count=count, file=file, withhold=body["withhold"])
        return answer({"ids": [trade.id for trade in trades], "last_seq": self._exchange.sent.last_seq})

    async def frame(self, request: Request) -> Response:
        """One frame now."""
        noise = Noise("by hand", _payload(await body_of(request)))
        return answer({"listeners": self._exchange.send(noise)})

    async def nightly_file(self, request: Request) -> Response:
        """A day's file now."""
        body = await body_of(request, day=None)
        day = local_day(self._clock.now()) if body["day"] is None else _day(body["day"])
        writing = asyncio.wrap_future(self._exchange.write_file(day))
        return answer(_file(await asyncio.wait_for(writing, _FILE_S)))

    async def faults(self, _: Request) -> Response:
        """Faults as they are."""
        return answer(self._exchange.faults())

    async def set_faults(self, request: Request) -> Response:
        """Change some."""
        return answer(self._exchange.set_faults(await body_of(request), now=self._clock.now()))

    async def clear_faults(self, _: Request) -> Response:
        """End all of them."""
        self._exchange.clear_faults(now=self._clock.now())
        return answer(self._exchange.faults())

    async def drop(self, request: Request) -> Response:
        """End connections now."""
        body = await body_of(request, who="all", how="abort")
        who, how = one_of("who", body["who"], WHOS), one_of("how", body["how"], HOWS)
        return answer({"connections": self._exchange.listeners.drop(how=how, who=who)})

    async def freeze(self, request: Request) -> Response:
        """Send nothing more on connections that stay open."""
        body = await body_of(request, who="all", for_s=None, pongs=False, newcomers=False)
        frozen = self._exchange.listeners.freeze(
            who=one_of("who", body["who"], WHOS), until=self._until(body["for_s"]),
            pongs=body["pongs"], newcomers=body["newcomers"],
        )  # fmt: skip
        return answer({"connections": frozen})

    async def thaw(self, _: Request) -> Response:
        """End every freeze."""
        self._exchange.listeners.thaw()
        return answer(self._exchange.state(self._clock.now()))

    async def refuse(self, request: Request) -> Response:
        """Take no new connections."""
        body = await body_of(request, how=REFUSE_503, for_s=None)
        how = one_of("how", body["how"], (REFUSE_503, REFUSE_RESET))
        self._exchange.refuse(how=how, until=self._until(body["for_s"]))
        return answer(self._exchange.state(self._clock.now()))

    async def accept(self, _: Request) -> Response:
        """Take them again."""
        self._exchange.accept()
        return answer(self._exchange.state(self._clock.now()))

    def _until(self, for_s: Any) -> datetime | None:
        if for_s is None:
            return None
        if isinstance(for_s, bool) or not isinstance(for_s, int | float):
            raise InvalidInput(f"for_s: {for_s!r} is no number of seconds")
        return self._clock.now() + timedelta(seconds=in_range("for_s", for_s, 0, _LONGEST_S))


def _payload(body: dict[str, Any]) -> str | bytes:
    if len(body) != 1 or not set(body) <= {"text", "json", "base64"}:
        raise InvalidInput("give exactly one of text, json, base64")
    ((form, value),) = body.items()
    if form == "json":
        return json.dumps(value)
    if not isinstance(value, str):
        raise InvalidInput(f"{form}: {value!r} is no text")
    if form == "text":
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise InvalidInput(f"base64: {error}") from None


def _day(text: Any) -> date:
    try:
        day = date.fromisoformat(text)
        day_bounds(DEFAULT_AREA, day)  # refuses what no market has
        return day
    except (TypeError, ValueError):
        raise InvalidInput(f"day: {text!r} is no day") from None


def _connection(text: str | None) -> int | None:
    if text is None:
        return None
    return whole_number({"connection": text}, "connection", default=0, low=1, high=2**31)


def _line(trade: Trade, listeners: int, copies: int) -> dict[str, Any]:
    return {"seq": trade.seq, "listeners": listeners, "copies": copies, **shown(trade)}


def _file(written: WrittenFile) -> dict[str, Any]:
    return {"day": written.day.isoformat(), "name": written.path.name, "rows": written.rows}
