"""Reports: formatted once a version, then served from memory for as long as report-service says it holds."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from wattbook.access import Principal
from wattbook.errors import Forbidden, InvalidInput
from wattbook.periods import DEFAULT_AREA

from gateway.clients import PnlAsk

MOST_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Rendered:
    """A report in both its forms, and the version that both have."""

    version: str
    json: bytes
    csv: bytes


class Reports:
    """Reports of one kind of report-service, for those who may see them."""

    def __init__(
        self, ask: Callable[[Principal, PnlAsk], Awaitable[Any]], render: Callable[[PnlAsk, Any], Rendered]
    ) -> None:
        """Get answers from ``ask``, format with ``render``."""
        self._ask = ask
        self._render = render
        self._kept: OrderedDict[tuple[str, str, str], Rendered] = OrderedDict()

    async def report(self, asker: Principal, *, trader_id: str, delivery_day: dt.date, area: str) -> Rendered:
        """A trader's report of a day by hours; ``trader_id`` ``""`` means the asker's own.

        Raises:
            Forbidden: not the asker's to see.
            InvalidInput: no trader is meant, or there is no such day or area.
        """
        trader_id = trader_id or self._own(asker)
        asker.require_trader(trader_id)
        key = (trader_id, delivery_day.isoformat(), area or DEFAULT_AREA)
        kept = self._kept.get(key)
        ask = PnlAsk(*key, known_version=kept.version if kept else "")
        answer = await self._ask(asker, ask)
        if answer.error:
            raise InvalidInput(answer.error)
        if kept is not None and answer.unchanged:
            return kept
        kept = self._kept.get(key)
        if kept is not None and kept.version == answer.version:
            return kept  # somebody who asked at the same time was here first
        rendered = self._render(ask, answer)
        self._keep(key, rendered)
        return rendered

    def _own(self, asker: Principal) -> str:
        if asker.own_trader_id is None:
            if not asker.sees_all:
                raise Forbidden("you have no role that allows this")
            raise InvalidInput("trader_id: missing; only a trader may leave it out")
        return asker.own_trader_id

    def _keep(self, key: tuple[str, str, str], rendered: Rendered) -> None:
        self._kept[key] = rendered
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
